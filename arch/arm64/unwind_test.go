package arm64

import (
	"encoding/binary"
	"testing"

	"hotpatch/arch"
)

// codeOf makes code of instructions.
func codeOf(words ...uint32) (code []byte) {
	for _, w := range words {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	return code
}

// Instructions of stubs, as objdump -d shows them in programs for arm64 at stubAt.
const (
	stubAt     = 0x7e4
	adrp16     = 0x90000110 // adrp x16, 20000
	ldr17      = 0xf9400611 // ldr x17, [x16, #8]
	add16      = 0x91002210 // add x16, x16, #0x8
	br16       = 0xd61f0200 // br x16
	br17       = 0xd61f0220 // br x17
	ldr16      = 0xf9400610 // ldr x16, [x16, #8]
	literal16  = 0x58000050 // ldr x16, .+8
	literal16W = 0x18000050 // ldr w16, .+8
	adr17      = 0x10000091 // adr x17, .+16
	moveX1     = 0xaa0003e1 // mov x1, x0
	moveX16    = 0xaa0003f0 // mov x16, x0
)

func TestStub(t *testing.T) {
	for _, tt := range []struct {
		name string
		code []byte
		want arch.Stub // Len 0: it is none
	}{
		{name: "PLT entry", code: codeOf(adrp16, ldr17, add16, br17), want: arch.Stub{To: 0x20008, Slot: true, Len: 16}},
		{name: "PLT entry for BTI", code: codeOf(btiC, adrp16, ldr17, add16, br17, nop), want: arch.Stub{To: 0x20008, Slot: true, Len: 20}},
		{name: "PLT entry for PAC", code: codeOf(btiC, adrp16, ldr17, add16, autia1716, br17), want: arch.Stub{To: 0x20008, Slot: true, Len: 24}},
		{name: "without an add", code: codeOf(adrp16, ldr17, br17), want: arch.Stub{To: 0x20008, Slot: true, Len: 12}},
		{name: "one register", code: codeOf(adrp16, ldr16, br16), want: arch.Stub{To: 0x20008, Slot: true, Len: 12}},
		{name: "head of the PLT", code: codeOf(pushPLT, adrp16, ldr17, add16, br17), want: arch.Stub{To: 0x20008, Slot: true, Len: 20, Push: 16, After: 4}},
		{name: "head of the PLT for BTI", code: codeOf(btiC, pushPLT, adrp16, ldr17, add16, autia1716, br17),
			want: arch.Stub{To: 0x20008, Slot: true, Len: 28, Push: 16, After: 8}},
		{name: "veneer", code: codeOf(adrp16, add16, br16), want: arch.Stub{To: 0x20008, Len: 12}},
		{name: "near veneer", code: codeOf(adr17, br17), want: arch.Stub{To: stubAt + 16, Len: 8}},
		{name: "literal", code: codeOf(literal16, br16, 0, 0), want: arch.Stub{To: stubAt + 8, Slot: true, Len: 8}},
		{name: "literal of 32 bits", code: codeOf(literal16W, br16)},
		{name: "other register", code: codeOf(adrp16, ldr17, br16+1<<6)},
		{name: "register not set", code: codeOf(ldr17, br17)},
		{name: "pointer of a pointer", code: codeOf(adrp16, ldr16, ldr16, br16)},
		{name: "argument is changed", code: codeOf(adrp16, moveX1, ldr17, br17)},
		{name: "register is computed", code: codeOf(adrp16, moveX16, ldr17, br17)},
		{name: "two pushes", code: codeOf(pushPLT, pushPLT, adrp16, ldr17, br17)},
		{name: "call", code: codeOf(adrp16, ldr17, 0xd63f0220)},
		{name: "too long", code: codeOf(nop, nop, nop, nop, adrp16, ldr17, add16, br17)},
		{name: "ends early", code: codeOf(adrp16, ldr17, add16)},
		{name: "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := arch.Addr(stubAt)
			got, ok := stub(tt.code, at)
			if ok != (tt.want.Len > 0) || ok && got != tt.want {
				t.Errorf("stub = %+v, %v; want %+v", got, ok, tt.want)
			}
		})
	}
}

func TestTrampoline(t *testing.T) {
	for _, tt := range []struct {
		name string
		code []byte
		want int
	}{
		{name: "Linux", code: codeOf(movSysNo, svc0), want: 8},
		{name: "for BTI", code: codeOf(btiC, movSysNo, svc0), want: 12},
		{name: "other call", code: codeOf(0xd2801148, svc0)},
		{name: "no call", code: codeOf(movSysNo, nop)},
		{name: "ends early", code: codeOf(movSysNo)},
		{name: "nothing"},
	} {
		if got := trampoline(tt.code); got != tt.want {
			t.Errorf("%s: trampoline of %d bytes, want %d", tt.name, got, tt.want)
		}
	}
}

func TestTouches(t *testing.T) {
	for _, tt := range []struct {
		name   string
		word   uint32
		sp, ra bool
	}{
		{name: "mov x1, x0", word: moveX1},
		{name: "add x4, sp, x4", word: 0x8b2463e4},
		{name: "str x0, [sp]", word: 0xf90003e0},
		{name: "ret", word: 0xd65f03c0},
		{name: "stp x29, x30, [sp, #-16]!", word: 0xa9bf7bfd, sp: true},
		{name: "ldp x29, x30, [sp], #16", word: 0xa8c17bfd, sp: true, ra: true},
		{name: "sub sp, sp, #16", word: 0xd10043ff, sp: true},
		{name: "paciasp", word: 0xd503233f, ra: true},
		{name: "bl", word: 0x94000001, ra: true},
		{name: "mov x30, x5", word: 0xaa0503fe, ra: true},
		{name: "unknown", word: 0x00010000, sp: true, ra: true},
	} {
		if sp, ra := touches(codeOf(tt.word), nil); sp != tt.sp || ra != tt.ra {
			t.Errorf("%s: writes sp %v, x30 %v; want %v, %v", tt.name, sp, ra, tt.sp, tt.ra)
		}
	}
}

// FuzzStub checks that what is taken for a stub lies within the code, and that it is one wherever it stands.
func FuzzStub(f *testing.F) {
	f.Add(codeOf(btiC, adrp16, ldr17, add16, autia1716, br17))
	f.Add(codeOf(pushPLT, adrp16, ldr17, add16, br17))
	f.Fuzz(func(t *testing.T, code []byte) {
		s, ok := stub(code, stubAt)
		if moved, same := stub(code, stubAt+0x1000); same != ok || ok && moved.To != s.To+0x1000 {
			t.Fatalf("%+v, %v at one place, %+v, %v at another one", s, ok, moved, same)
		}
		if ok && (s.Len < InstLen || s.Len > len(code) || s.Len > maxStub*InstLen || s.After > s.Len || (s.After > 0) != (s.Push > 0)) {
			t.Fatalf("stub %+v in %d bytes", s, len(code))
		}
	})
}
