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
		for _, mask := range []uint32{1<<32 - 1, bitsImm26, bitsImm19, bitsImm14, bitsImm9B, bitsADR, bitsImm12, bitsImm9, bitsImm9S, bitsImm7, bitsImm16} {
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
		for _, form := range []arch.Relaxation{arch.RelaxPC, arch.RelaxAbs, arch.RelaxTLS} {
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

// relaxSource loads the addresses of two places, and a thread-local offset, in the ways that linkers relax, and one that they leave.
const relaxSource = `
	.globl _start
_start:
	adrp x3, :got:here
	ldr x3, [x3, :got_lo12:here]
	adrp x4, here
	add x4, x4, :lo12:here
	adrp x5, :got:here
	ldr x6, [x5, :got_lo12:here]
	adrp x7, :gottprel:mine
	ldr x7, [x7, :gottprel_lo12:mine]
	ret
	.section .tdata, "awT"
	.globl mine
mine:	.xword 1
	.bss
	.space DISTANCE
	.globl here
here:	.space 8
`

// none stands for no relaxation.
const none arch.Relaxation = 255

// TestRelaxAsLinkers: what linkers make of loads from the GOT is what Relax says that they do, once Widen has taken back what
// depends on distance.
func TestRelaxAsLinkers(t *testing.T) {
	unrelaxed := [4]arch.Relaxation{none, none, none, none}
	left := [4]arch.Relaxation{none, none, none, arch.RelaxTLS}
	tests := []struct {
		name     string
		linker   string
		distance string // bytes to the place
		near     int    // pairs that become one instruction
		forms    [4]arch.Relaxation
	}{
		{name: "lld, near", linker: "ld.lld", distance: "16", near: 2, forms: [4]arch.Relaxation{arch.RelaxPC, none, none, arch.RelaxTLS}},
		{name: "lld, far", linker: "ld.lld", distance: "0x200000", forms: [4]arch.Relaxation{arch.RelaxPC, none, none, arch.RelaxTLS}},
		{name: "mold, near", linker: "mold", distance: "16", near: 1, forms: unrelaxed},
		{name: "mold, far", linker: "mold", distance: "0x200000", forms: unrelaxed},
		{name: "ld", linker: "aarch64-linux-gnu-ld", distance: "16", forms: left},
		{name: "gold", linker: "aarch64-linux-gnu-ld.gold", distance: "16", forms: left},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			compiled, linked := linkRelaxed(t, test.distance, test.linker)
			near := 0
			for pair, form := range test.forms {
				after := linked[pair*2*InstLen:][:2*InstLen]
				if wide, ok := widen(after); ok {
					near++
					after = wide
				}
				for i := 0; i < 2*InstLen; i += InstLen {
					checkRelaxed(t, compiled[pair*2*InstLen+i:], after[i:], form)
				}
			}
			if near != test.near {
				t.Errorf("%d pairs became one instruction, want %d", near, test.near)
			}
		})
	}
}

// checkRelaxed compares an instruction as compiled and as linked.
func checkRelaxed(t *testing.T, before, after []byte, form arch.Relaxation) {
	t.Helper()
	in, err := Arch.Decode(before)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Arch.Decode(after)
	if err != nil {
		t.Fatal(err)
	}
	want, ok := Canon(nil, before, &in), true
	if form != none {
		want, ok = Relax(nil, before, &in, form)
	}
	if canon := Canon(nil, after, &got); !ok || !bytes.Equal(canon, want) {
		t.Errorf("%s became %s: % x, want % x, %v", text(before, 0, nil), text(after, 0, nil), canon, want, ok)
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
		{name: "adrp xzr, .", word: 0x9000001f},
		{name: "add x0, x0, #8", word: 0x91002000},
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
			for _, form := range []arch.Relaxation{arch.RelaxPC, arch.RelaxAbs, arch.RelaxTLS} {
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
