package image

import (
	"debug/elf"
	"errors"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// TestLargeModel refuses code whose 64-bit immediates are distances in the image.
func TestLargeModel(t *testing.T) {
	for _, c := range []struct {
		cc     string
		flags  []string
		refuse bool
	}{
		{cc: "gcc", flags: []string{"-mcmodel=small"}},
		{cc: "gcc", flags: []string{"-mcmodel=medium"}, refuse: true},
		{cc: "gcc", flags: []string{"-mcmodel=large"}, refuse: true},
		{cc: "clang", flags: []string{"-mcmodel=medium"}, refuse: true},
		{cc: "clang", flags: []string{"-mcmodel=large"}, refuse: true},
	} {
		path := victim.Build(t, c.cc, []string{"image/large.c"}, append(c.flags, "-O2", "-fPIC", "-shared", "-nostdlib")...)
		im := mustLoad(t, path, Options{})
		b, err := im.Body(im.atom(t, "bump"))
		var bad *DecodeError
		if errors.As(err, &bad) != c.refuse && (!c.refuse || !takesLabel(b)) {
			t.Errorf("%s %v: %v", c.cc, c.flags, err)
		}
		if c.refuse && err != nil && !strings.Contains(err.Error(), "code model") {
			t.Errorf("%s %v: refused for another reason: %v", c.cc, c.flags, err)
		}
	}
}

func takesLabel(b *Body) bool { return b != nil && len(b.Escapes) > 0 }

// TestOverlappingObjects checks that an access to one of two objects that overlap is not claimed to be proven.
func TestOverlappingObjects(t *testing.T) {
	for _, c := range []struct {
		name        string
		value, size uint64
		candidates  int
	}{
		{name: "inside", value: dataAddr + 8, size: 8, candidates: 2},
		{name: "same start", value: dataAddr, size: 16, candidates: 2},
		{name: "beside", value: dataAddr + 128, size: 8},
	} {
		code := []byte{0x8b, 0x05, 2, 0x10, 0, 0, 0x48, 0x8d, 0x05, 0xfb, 0x0f, 0, 0, 0xc3} // mov and lea of dataAddr+8
		im := textFile(code, make([]byte, 256), testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: uint64(len(code))},
			testSymbol{name: "outer", typ: elf.STT_OBJECT, shndx: inData, value: dataAddr, size: 32},
			testSymbol{name: "inner", typ: elf.STT_OBJECT, shndx: inData, value: c.value, size: c.size}).load(t)
		b := im.mustBody(t, "f")
		for _, r := range b.Refs {
			if p := r.Place; p.Addr != dataAddr+8 || len(p.Candidates) != c.candidates || p.Proven && c.candidates > 0 {
				t.Errorf("%s: %s at %#x with %d candidates, proven %v", c.name, describe(&p), uint64(p.Addr), len(p.Candidates), p.Proven)
			}
		}
		if len(b.Refs) != 2 {
			t.Errorf("%s: %d references", c.name, len(b.Refs))
		}
	}
}

// TestWordAtZero has the word that holds a label at address zero, which is an address like any other.
func TestWordAtZero(t *testing.T) {
	f := textFile([]byte{0x90, 0x90, 0xc3}, nil, testSymbol{name: "f", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 3})
	f.sections = append(f.sections,
		testSection{name: ".table", flags: elf.SHF_ALLOC, addr: 0, data: make([]byte, 8)},
		testSection{name: ".rela.dyn", typ: elf.SHT_RELA, flags: elf.SHF_ALLOC, addr: 0x5000, entsize: relaSize,
			data: structBytes(t, elf.Rela64{Off: 0, Info: elf.R_INFO(0, uint32(elf.R_X86_64_RELATIVE)), Addend: textAddr + 1})})
	b := f.load(t).mustBody(t, "f")
	if len(b.Escapes) != 1 || b.Escapes[0].Target.Off != 1 || b.Escapes[0].Inst != -1 {
		t.Errorf("escapes %+v", b.Escapes)
	}
}

// TestPiecesInCircles has two atoms of which each is by one of its names a piece of the other.
func TestPiecesInCircles(t *testing.T) {
	global := func(name string, at uint64) testSymbol {
		return testSymbol{name: name, bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: inText, value: textAddr + at, size: 1}
	}
	im := textFile([]byte{0xc3, 0xc3, 0xc3}, nil, global("a.cold", 0), global("b", 0), global("b.cold", 1), global("a", 1), global("c.cold", 2), global("c", 2)).load(t)
	parts := 0
	for _, a := range im.Atoms {
		parts += len(a.Parts)
		if _, err := im.Body(a); err != nil {
			t.Error(err)
		}
	}
	if len(im.Atoms) != 3 || parts != 1 {
		t.Errorf("%d atoms with %d parts", len(im.Atoms), parts)
	}
}
