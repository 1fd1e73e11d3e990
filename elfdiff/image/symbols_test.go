package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// TestNoPlaces checks the symbols that name no place of the image, although their values look like addresses in it.
func TestNoPlaces(t *testing.T) {
	code := append(bytes.Repeat([]byte{0x90}, 15), 0xc3)
	f := testSymbol{name: "f", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 16}
	for _, c := range []struct {
		name string
		sym  testSymbol
		atom bool
	}{
		{name: "label in the code", sym: testSymbol{name: "x", bind: elf.STB_GLOBAL, shndx: inText, value: textAddr + 4}, atom: true},
		{name: "unit of gcc's LTO", sym: testSymbol{name: "x", bind: elf.STB_WEAK, shndx: inDebug, value: textAddr + 4}},
		{name: "sized, in no loaded section", sym: testSymbol{name: "x", typ: elf.STT_OBJECT, shndx: inDebug, value: textAddr + 4, size: 8}},
		{name: "absolute", sym: testSymbol{name: "x", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: elf.SHN_ABS, value: textAddr + 4}},
		{name: "common", sym: testSymbol{name: "x", bind: elf.STB_GLOBAL, typ: elf.STT_OBJECT, shndx: elf.SHN_COMMON, value: textAddr + 4, size: 8}},
		{name: "undefined, with the address of its stub", sym: testSymbol{name: "x", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, value: textAddr + 4}},
		{name: "section", sym: testSymbol{name: "x", typ: elf.STT_SECTION, shndx: inText, value: textAddr}},
		{name: "empty section", sym: testSymbol{name: "x", bind: elf.STB_GLOBAL, shndx: inEmpty, value: textAddr}},
		{name: "end of a section where the next one starts", sym: testSymbol{name: "x", bind: elf.STB_GLOBAL, shndx: inText, value: textAddr + 16}},
		{name: "assembler's label", sym: testSymbol{name: ".L4", shndx: inText, value: textAddr + 4}},
		{name: "function that looks like a label", sym: testSymbol{name: ".L4", typ: elf.STT_FUNC, shndx: inText, value: textAddr + 4, size: 4}, atom: true},
		{name: "dollar in a C name", sym: testSymbol{name: "$x", typ: elf.STT_FUNC, shndx: inText, value: textAddr + 4, size: 4}, atom: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := textFile(code, make([]byte, 16), f, c.sym)
			file.sections[inData-1].addr = textAddr + 16 // directly behind the code
			file.progs[1].Vaddr = textAddr + 16
			im := file.load(t)
			if got := len(im.Named(c.sym.name)) == 1; got != c.atom || len(im.Named("f")) != 1 {
				t.Errorf("atom: %v, want %v; f: %d", got, c.atom, len(im.Named("f")))
			}
		})
	}
}

// TestSymbolSections checks symbols that contradict their section.
func TestSymbolSections(t *testing.T) {
	for _, c := range []struct {
		name string
		sym  testSymbol
		want string
	}{
		{name: "another section's address", sym: testSymbol{name: "x", typ: elf.STT_FUNC, shndx: inData, value: textAddr, size: 4}, want: "its section .data"},
		{name: "longer than its section", sym: testSymbol{name: "x", typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 1 << 30}, want: "its section .text"},
		{name: "no such section", sym: testSymbol{name: "x", typ: elf.STT_FUNC, shndx: 200, value: textAddr, size: 4}, want: "st_shndx"},
		{name: "number elsewhere, and not there", sym: testSymbol{name: "x", typ: elf.STT_FUNC, shndx: elf.SHN_XINDEX, value: textAddr, size: 4}, want: "SHT_SYMTAB_SHNDX"},
	} {
		b := textFile(make([]byte, 16), make([]byte, 16), c.sym).encode(t)
		_, err := loadBytes("test", bytes.NewReader(b), uint64(len(b)))
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want a FormatError with %q", c.name, err, c.want)
		}
	}
}

// TestExtendedIndex reads a section number that is too large for the symbol itself.
func TestExtendedIndex(t *testing.T) {
	f := textFile([]byte{0xc3}, make([]byte, 16), testSymbol{name: "f", bind: elf.STB_GLOBAL, typ: elf.STT_FUNC, shndx: elf.SHN_XINDEX, value: textAddr, size: 1})
	f.sections = append(f.sections, testSection{name: ".symtab_shndx", typ: elf.SHT_SYMTAB_SHNDX, data: []byte{0, 0, 0, 0, byte(inText), 0, 0, 0}})
	if a := f.load(t).atom(t, "f"); a.Section == nil || a.Section.Name != ".text" {
		t.Errorf("f is in %v", a.Section)
	}
}

// TestUnitMarks loads what gcc -flto -g makes: it marks the debug information of each unit with a symbol.
func TestUnitMarks(t *testing.T) {
	path := victim.Build(t, "gcc", programs[1].sources, "-O2", "-flto", "-g", "-pthread", "-fPIE", "-pie", "-DVERSION=4")
	ef, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ef.Close()
	syms, err := ef.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	im, marks := mustLoad(t, path, Options{}), 0
	for _, s := range syms {
		if int(s.Section) >= len(ef.Sections) || ef.Sections[s.Section].Name != ".debug_info" || s.Name == "" {
			continue
		}
		marks++
		if as := im.Named(s.Name); len(as) != 0 {
			t.Errorf("%s is taken for %v", s.Name, as[0].Kind)
		}
	}
	if marks == 0 || slices.ContainsFunc(im.Atoms, func(a *Atom) bool { return strings.HasPrefix(a.Name, "kvd.c.") }) {
		t.Errorf("%d marks in .debug_info", marks)
	}
}

// TestStartFiles tells the functions of crtstuff.c from those of an object without STT_FILE behind it.
func TestStartFiles(t *testing.T) {
	for _, c := range []struct {
		file, name string
		kind       AtomKind
	}{
		{file: "crtstuff.c", name: "frame_dummy", kind: Code},
		{file: "crtstuff.c", name: "frame_dummy.0", kind: Code},
		{file: "crtstuff.c", name: "read_int", kind: Func},
		{file: "crtstuff.c", name: "completed.cold", kind: Func},
		{file: "crti.o", name: "call_weak_fn", kind: Code},
		{file: "", name: "call_weak_fn", kind: Code},
		{file: "server.c", name: "call_weak_fn", kind: Func},
	} {
		symbols := []testSymbol{
			{name: c.name, typ: elf.STT_FUNC, shndx: inText, value: textAddr, size: 16},
			{name: "crtstuff.c", typ: elf.STT_FILE, shndx: elf.SHN_ABS},
		}
		if c.file != "" {
			symbols = append([]testSymbol{{name: c.file, typ: elf.STT_FILE, shndx: elf.SHN_ABS}}, symbols...)
		}
		im := textFile(append(bytes.Repeat([]byte{0x90}, 15), 0xc3), nil, symbols...).load(t)
		if got := im.atom(t, c.name).Kind; got != c.kind {
			t.Errorf("%s of %q is a %v, want a %v", c.name, c.file, got, c.kind)
		}
	}
}
