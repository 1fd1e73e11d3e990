package x86

import (
	"debug/elf"
	"math/rand/v2"
	"testing"

	"hotpatch/arch"
)

// general decodes as Decode does where quick does not know better.
func general(code []byte) (in arch.Inst, err error) {
	var e encoding
	if err = e.decode(code); err == nil {
		e.describe(code, &in)
	}
	return in, err
}

// checkQuick holds quick, Canon and IsNop against what the general decoder says of the first instruction of code.
func checkQuick(t *testing.T, code []byte) bool {
	t.Helper()
	var in arch.Inst
	known := quick(code, &in)
	want, err := general(code)
	if known && (err != nil || in != want) || !known && in != (arch.Inst{}) {
		t.Fatalf("% x: quick gives %+v, the general decoder %+v, %v", code, in, want, err)
	}
	if err == nil {
		if got, slow := Canon(nil, code, &want), generalCanon(nil, code, &want); string(got) != string(slow) {
			t.Fatalf("% x: canonical bytes % x, from the general decoder % x", code[:want.Len], got, slow)
		}
		if got, slow := IsNop(code, &want), generalNop(code, &want); got != slow {
			t.Fatalf("% x: a NOP: %v, by the general decoder: %v", code[:want.Len], got, slow)
		}
	}
	return known
}

// TestQuick: every opcode of both maps with every ModRM byte and with REX bytes, and a library's whole code.
func TestQuick(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	code := make([]byte, quickLen)
	known := 0
	for _, head := range [][]byte{{}, {0x0f}, {0x40}, {0x48}, {0x4f}, {0x42, 0x0f}, {0x4d, 0x0f}, {0x66}, {0xf3, 0x0f}, {0x3e}} {
		for op := range 256 {
			for modrm := range 256 {
				for i := range code {
					code[i] = byte(rng.Uint32())
				}
				n := copy(code, head)
				code[n], code[n+1] = byte(op), byte(modrm)
				if checkQuick(t, code) {
					known++
				}
			}
		}
	}
	if known == 0 {
		t.Error("quick knows nothing")
	}
	f, err := elf.Open(findLibrary(t, "libc.so.6"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := f.Section(".text").Data()
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	known = 0
	for len(text) > 0 {
		in, err := Decode(text)
		if err != nil {
			in.Len = 1
		}
		if checkQuick(t, text) {
			known++
		}
		all++
		text = text[in.Len:]
	}
	if known < all*8/10 {
		t.Errorf("quick knows %d of %d instructions of libc", known, all)
	}
}
