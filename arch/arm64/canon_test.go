package arm64

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/arch"
)

// operandOf returns what the operand of an instruction, or its branch, holds.
func operandOf(in *arch.Inst) int64 {
	if in.BrSize != 0 {
		return in.Target
	}
	return in.Ops[0].Value
}

// checkSameCanon holds two words against each other: if they have one canonical form, they are the same instruction but for the value of one
// field, and if they differ that value does.
func checkSameCanon(t *testing.T, a, b uint32) {
	t.Helper()
	x, errX := Arch.Decode(codeOf(a))
	y, errY := Arch.Decode(codeOf(b))
	if errX != nil || errY != nil {
		return
	}
	ca, cb := Canon(nil, codeOf(a), &x), Canon(nil, codeOf(b), &y)
	if !bytes.Equal(ca, cb) || a == b {
		return
	}
	if x.NumOps == 0 && x.BrSize == 0 || operandOf(&x) == operandOf(&y) {
		t.Fatalf("%08x and %08x have the canonical form % x: %+v, %+v", a, b, ca, x, y)
	}
	x.Target, y.Target, x.Ops[0].Value, y.Ops[0].Value = 0, 0, 0, 0
	if x != y {
		t.Fatalf("%08x and %08x have the canonical form % x: %+v, %+v", a, b, ca, x, y)
	}
	if x.NumOps > 0 && x.BrSize > 0 {
		t.Fatalf("%08x has an operand and branches: %+v", a, x)
	}
}

// FuzzCanon: two words of one canonical form differ in the declared field only, and what is said of a word does not depend on what
// follows it; text, padding, relaxation, outlines and alignment accept everything.
func FuzzCanon(f *testing.F) {
	for _, w := range []uint32{nop, 0x94000001, 0x54000040, 0x37280083, 0x74020001, 0xb0000023, 0x58000044, 0x91048c20, 0xf9400421,
		0xf8408420, 0xa9bf7bfd, 0xf8201420, 0xd9408020, 0xd9201820} {
		f.Add(w, uint32(0x40), uint32(nop))
	}
	f.Fuzz(func(t *testing.T, w, flip, behind uint32) {
		for _, mask := range []uint32{1<<32 - 1, bitsImm26, bitsImm19, bitsImm14, bitsImm9B, bitsADR, bitsImm12, bitsImm9, bitsImm9S, bitsImm7} {
			checkSameCanon(t, w, w^flip&mask)
		}
		code := append(codeOf(w), codeOf(behind)...)
		in, err := Arch.Decode(code)
		_, _, _ = text(code, 0, nil), Aligned(code), isPadding(code)
		_, _ = callBefore(code)
		if err != nil {
			return
		}
		canon := Canon(nil, code, &in)
		if alone, err := Arch.Decode(code[:InstLen]); err != nil || alone != in || !bytes.Equal(canon, Canon(nil, code[:InstLen], &in)) {
			t.Fatalf("%08x: %+v, alone %+v, %v", w, in, alone, err)
		}
		for _, form := range []arch.Relaxation{arch.RelaxPC, arch.RelaxAbs, arch.RelaxTLS, arch.RelaxNear} {
			if got, ok := Relax(nil, code, &in, form); ok != (len(got) == InstLen) {
				t.Fatalf("%08x: relaxed to % x, %v", w, got, ok)
			}
		}
		outline, covers := Outline(nil, code, &in)
		if len(outline) < InstLen || covers[1] || covers[0] && in.NumOps == 0 {
			t.Fatalf("%08x: outline % x, covers %v", w, outline, covers)
		}
		if IsNop(code, &in) && (in.Flow != arch.FlowNext || !in.MayNop) {
			t.Fatalf("%08x: a nop that branches", w)
		}
	})
}

// relaxSource loads the addresses of two places in the two ways that linkers relax.
const relaxSource = `
	.globl _start
_start:
	adrp x3, :got:here
	ldr x3, [x3, :got_lo12:here]
	adrp x4, here
	add x4, x4, :lo12:here
	adrp x5, :got:here
	ldr x6, [x5, :got_lo12:here]
	ret
	.bss
	.space DISTANCE
	.globl here
here:	.space 8
`

// TestRelaxAsLinkers: what lld and mold make of loads from the GOT is what Relax says that they do.
func TestRelaxAsLinkers(t *testing.T) {
	tests := []struct {
		name     string
		linker   string
		distance string // bytes to the place
		forms    []arch.Relaxation
	}{
		{name: "lld, near", linker: "ld.lld", distance: "16", forms: []arch.Relaxation{arch.RelaxNear, arch.RelaxNear}},
		{name: "lld, far", linker: "ld.lld", distance: "0x200000", forms: []arch.Relaxation{arch.RelaxPC, none}},
		{name: "mold, near", linker: "mold", distance: "16", forms: []arch.Relaxation{none, arch.RelaxNear}},
		{name: "mold, far", linker: "mold", distance: "0x200000", forms: []arch.Relaxation{none, none}},
		{name: "ld", linker: "aarch64-linux-gnu-ld", distance: "16", forms: []arch.Relaxation{none, none}},
		{name: "gold", linker: "aarch64-linux-gnu-ld.gold", distance: "16", forms: []arch.Relaxation{none, none}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			compiled, linked := linkRelaxed(t, test.distance, test.linker)
			for pair, form := range append(test.forms, none) {
				checkPair(t, compiled[pair*8:], linked[pair*8:], form)
			}
		})
	}
}

// none stands for no relaxation.
const none arch.Relaxation = 255

// checkPair compares an ADRP and what follows it, as compiled and as linked.
func checkPair(t *testing.T, compiled, linked []byte, form arch.Relaxation) {
	t.Helper()
	for i := range 2 {
		before, after := compiled[i*InstLen:], linked[i*InstLen:]
		in, err := Arch.Decode(before)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Arch.Decode(after)
		if err != nil {
			t.Fatal(err)
		}
		if form == arch.RelaxNear && i == 0 {
			if !IsNop(after, &got) {
				t.Errorf("%s: not a nop", text(after, 0, nil))
			}
			continue
		}
		want := Canon(nil, before, &in)
		if form != none {
			var ok bool
			if want, ok = Relax(nil, before, &in, form); !ok {
				t.Errorf("%s: not relaxed", text(before, 0, nil))
			}
		}
		if canon := Canon(nil, after, &got); !bytes.Equal(canon, want) {
			t.Errorf("%s became %s: % x, want % x", text(before, 0, nil), text(after, 0, nil), canon, want)
		}
	}
}

// linkRelaxed returns the code of relaxSource as assembled and as linked.
func linkRelaxed(t *testing.T, distance, linker string) (compiled, linked []byte) {
	t.Helper()
	dir := t.TempDir()
	src, obj, out := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o"), filepath.Join(dir, "a")
	source := strings.Replace(relaxSource, "DISTANCE", distance, 1)
	if err := os.WriteFile(src, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"aarch64-linux-gnu-as", src, "-o", obj}, {linker, "-pie", obj, "-o", out}} {
		if msg, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, msg)
		}
	}
	return sectionData(t, obj, ".text"), sectionData(t, out, ".text")
}

// sectionData returns the content of a section of a file.
func sectionData(t testing.TB, file, name string) []byte {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.Section(name).Data()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRelaxRefuses(t *testing.T) {
	tests := []struct {
		name string
		word uint32
	}{
		{name: "ldr x0, [x1, #8]", word: 0xf9400420},
		{name: "ldr w0, [x0, #8]", word: 0xb9400800},
		{name: "str x0, [x0, #8]", word: 0xf9000400},
		{name: "add x0, x1, #8", word: 0x91002020},
		{name: "sub x0, x0, #8", word: 0xd1002000},
		{name: "add sp, sp, #64", word: 0x910103ff},
		{name: "bl .+8", word: 0x94000002},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in, err := Arch.Decode(codeOf(test.word))
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range []arch.Relaxation{arch.RelaxPC, arch.RelaxAbs, arch.RelaxTLS, arch.RelaxNear} {
				if got, ok := Relax(nil, codeOf(test.word), &in, form); ok {
					t.Errorf("form %d: % x", form, got)
				}
			}
			if _, _, _, ok := Detour(codeOf(test.word), &in, 0x1000, 0x2000); ok {
				t.Error("a detour")
			}
		})
	}
}

// benchText returns the .text section of libc.
func benchText(b *testing.B) []byte {
	return sectionData(b, filepath.Join(guestRoot(b), "lib/aarch64-linux-gnu/libc.so.6"), ".text")
}

func BenchmarkDecode(b *testing.B) {
	code := benchText(b)
	b.SetBytes(int64(len(code)))
	b.ReportAllocs()
	var in arch.Inst
	for b.Loop() {
		for i := 0; i < len(code); i += InstLen {
			_ = DecodeInto(&in, code[i:])
		}
	}
}

func BenchmarkDecodeCanon(b *testing.B) {
	code := benchText(b)
	b.SetBytes(int64(len(code)))
	b.ReportAllocs()
	var in arch.Inst
	var canon []byte
	for b.Loop() {
		for i := 0; i < len(code); i += InstLen {
			if DecodeInto(&in, code[i:]) == nil {
				canon = Canon(canon[:0], code[i:], &in)
			}
		}
	}
	if len(canon) != InstLen || binary.LittleEndian.Uint32(canon) == 0 {
		b.Fatalf("% x", canon)
	}
}
