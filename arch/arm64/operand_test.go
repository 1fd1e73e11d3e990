package arm64

import (
	"errors"
	"testing"

	"hotpatch/arch"
)

func TestOperands(t *testing.T) {
	pc := func(v int64, width uint8) arch.Operand {
		return arch.Operand{Kind: arch.OpPC, Size: 4, Width: width, Addr: width == 0, Value: v}
	}
	access := func(v int64, width uint8, write bool) arch.Operand {
		return arch.Operand{Kind: arch.OpDisp, Size: 4, Width: width, Write: write, Value: v}
	}
	address := func(v int64) arch.Operand { return arch.Operand{Kind: arch.OpDisp, Size: 4, Addr: true, Value: v} }
	tests := []struct {
		name string
		word uint32
		want arch.Operand // Kind 0: there is none
	}{
		{name: "adr x3, .+0x1234", word: 0x100091a3, want: pc(0x1234, 0)},
		{name: "adrp x3, .+0x5000", word: 0xb0000023, want: arch.Operand{Kind: arch.OpPage, Size: 4, Addr: true, Value: 0x5000}},
		{name: "ldr x4, .+8", word: 0x58000044, want: pc(8, 8)},
		{name: "ldr q4, .-16", word: 0x9cffff84, want: pc(-16, 16)},
		{name: "ldrsw x4, .+8", word: 0x98000044, want: pc(8, 4)},
		{name: "prfm pldl1keep, .+8", word: 0xd8000040, want: arch.Operand{Kind: arch.OpPC, Size: 4, Value: 8}},
		{name: "add x0, x1, #0x123", word: 0x91048c20, want: address(0x123)},
		{name: "add x0, x1, #0x123, lsl #12", word: 0x91448c20, want: address(0x123000)},
		{name: "sub x0, x1, #0x123", word: 0xd1048c20, want: address(-0x123)},
		{name: "sub sp, sp, #64", word: 0xd10103ff, want: address(-64)},
		{name: "adds x0, x1, #1", word: 0xb1000420},
		{name: "add w0, w1, #1", word: 0x11000420},
		{name: "ldr x0, [x1, #0x7ff8]", word: 0xf97ffc20, want: access(0x7ff8, 8, false)},
		{name: "ldr w0, [x1]", word: 0xb9400020, want: access(0, 4, false)},
		{name: "strb w0, [x1, #5]", word: 0x39001420, want: access(5, 1, true)},
		{name: "ldrsh x0, [x1, #6]", word: 0x79800c20, want: access(6, 2, false)},
		{name: "ldr q0, [x1, #16]", word: 0x3dc00420, want: access(16, 16, false)},
		{name: "str d0, [x1, #8]", word: 0xfd000420, want: access(8, 8, true)},
		{name: "prfm pldl1keep, [x1, #16]", word: 0xf9800820, want: access(16, 0, false)},
		{name: "ldur x0, [x1, #-1]", word: 0xf85ff020, want: access(-1, 8, false)},
		{name: "stur w0, [x1, #3]", word: 0xb8003020, want: access(3, 4, true)},
		{name: "ldr x0, [x1], #8", word: 0xf8408420, want: address(8)},
		{name: "str x0, [x1, #-16]!", word: 0xf81f0c20, want: access(-16, 8, true)},
		{name: "ldp x0, x1, [x2, #16]", word: 0xa9410440, want: access(16, 16, false)},
		{name: "ldp w0, w1, [x2, #-8]", word: 0x297f0440, want: access(-8, 8, false)},
		{name: "stp x29, x30, [sp, #-96]!", word: 0xa9ba7bfd, want: access(-96, 16, true)},
		{name: "ldp x29, x30, [sp], #96", word: 0xa8c67bfd, want: address(96)},
		{name: "stp q0, q1, [x0, #32]", word: 0xad010400, want: access(32, 32, true)},
		{name: "ldapur x0, [x1, #8]", word: 0xd9408020, want: access(8, 8, false)},
		{name: "ldraa x0, [x1, #8]", word: 0xf8201420, want: access(8, 8, false)},
		{name: "ldrab x0, [x1, #-16]!", word: 0xf8ffec20, want: access(-16, 8, false)},
		{name: "ldr x0, [x1, x2, lsl #3]", word: 0xf8627820},
		{name: "ld1 {v0.16b}, [x0], #16", word: 0x4cdf7000},
		{name: "ldxr x0, [x1]", word: 0xc85f7c20},
		{name: "ldadd w0, w1, [x2]", word: 0xb8200041},
		{name: "movz x0, #5", word: 0xd28000a0, want: arch.Operand{Kind: arch.OpImm, Size: 4, Arith: true, Part: true, Value: 5}},
		{name: "movk x0, #5, lsl #32", word: 0xf2c000a0, want: arch.Operand{Kind: arch.OpImm, Size: 4, Arith: true, Part: true, Value: 5 << 32}},
		{name: "movn x0, #5", word: 0x928000a0, want: arch.Operand{Kind: arch.OpImm, Size: 4, Arith: true, Part: true, Value: -6}},
		{name: "bl .+8", word: 0x94000002},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in, err := Arch.Decode(codeOf(test.word))
			if err != nil {
				t.Fatal(err)
			}
			if n := min(1, int(test.want.Kind)); in.NumOps != n || in.Ops[0] != test.want || in.Len != InstLen {
				t.Errorf("%+v, want %+v", in, test.want)
			}
		})
	}
}

func TestInst(t *testing.T) {
	tests := []struct {
		name string
		word uint32
		want arch.Inst
	}{
		{name: "bl .+8", word: 0x94000002, want: arch.Inst{Flow: arch.FlowCall, Target: 8, BrSize: 4}},
		{name: "b .-8", word: 0x17fffffe, want: arch.Inst{Flow: arch.FlowJump, Target: -8, BrSize: 4}},
		{name: "tbnz w3, #5, .+16", word: 0x37280083, want: arch.Inst{Flow: arch.FlowBranch, Target: 16, BrSize: 4}},
		{name: "blr x3", word: 0xd63f0060, want: arch.Inst{Flow: arch.FlowCallInd}},
		{name: "ret", word: 0xd65f03c0, want: arch.Inst{Flow: arch.FlowReturn}},
		{name: "svc #0", word: 0xd4000001, want: arch.Inst{Flow: arch.FlowSyscall}},
		{name: "mrs x5, tpidr_el0", word: 0xd53bd045, want: arch.Inst{TLSBase: true}},
		{name: "mrs x5, fpcr", word: 0xd53b4405},
		{name: "nop", word: nop, want: arch.Inst{MayNop: true}},
		{name: "bti c", word: 0xd503245f},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.Len = InstLen
			if in, err := Arch.Decode(codeOf(test.word)); err != nil || in != test.want {
				t.Errorf("%+v, %v", in, err)
			}
		})
	}
	in := arch.Inst{Len: 9, NumOps: 2}
	if err := DecodeInto(&in, codeOf(0x02000000)); !errors.Is(err, ErrUnknown) || in != (arch.Inst{}) {
		t.Errorf("a word that is not allocated: %+v, %v", in, err)
	}
	if err := DecodeInto(&in, []byte{0x1f, 0x20, 0x03}); err == nil {
		t.Error("three bytes were decoded")
	}
}

func TestIsNop(t *testing.T) {
	for name, w := range map[string]uint32{"nop": nop, "yield": 0xd503203f, "bti": 0xd503241f, "paciasp": 0xd503233f,
		"mov x0, x0": 0xaa0003e0, "udf #0": 0, "hint #127": 0xd5032fff} {
		in, err := Arch.Decode(codeOf(w))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := IsNop(codeOf(w), &in); got != (w == nop) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestIsPadding(t *testing.T) {
	tests := []struct {
		name string
		code string
		want bool
	}{
		{name: "nothing", want: true},
		{name: "nops and zeros", code: "\x1f\x20\x03\xd5\x00\x00\x00\x00\x1f\x20\x03\xd5", want: true},
		{name: "zeros, not whole words", code: "\x00\x00\x00\x00\x00\x00", want: true},
		{name: "a part of a nop", code: "\x1f\x20\x03"},
		{name: "bti c", code: "\x5f\x24\x03\xd5"},
		{name: "ret behind a nop", code: "\x1f\x20\x03\xd5\xc0\x03\x5f\xd6"},
		{name: "int3 of x86-64", code: "\xcc\xcc\xcc\xcc"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := isPadding([]byte(test.code)); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestCallBefore(t *testing.T) {
	tests := []struct {
		name  string
		words []uint32
		want  arch.CallSite // Len 0: no call
	}{
		{name: "bl", words: []uint32{0x94000002}, want: arch.CallSite{Len: 4, Target: 4}},
		{name: "bl behind something", words: []uint32{nop, 0x97ffffff}, want: arch.CallSite{Len: 4, Target: -8}},
		{name: "blr", words: []uint32{0xd63f0060}, want: arch.CallSite{Len: 4, Indirect: true}},
		{name: "blraaz", words: []uint32{0xd63f087f}, want: arch.CallSite{Len: 4, Indirect: true}},
		{name: "blraa", words: []uint32{0xd73f087f}, want: arch.CallSite{Len: 4, Indirect: true}},
		{name: "b", words: []uint32{0x14000002}},
		{name: "braa", words: []uint32{0xd71f0864}},
		{name: "svc", words: []uint32{0xd4000001}},
		{name: "call before something else", words: []uint32{0x94000002, nop}},
		{name: "nothing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := callBefore(codeOf(test.words...)); got != test.want || ok != (test.want.Len != 0) {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
	if _, ok := callBefore([]byte{0x94, 0, 0}); ok {
		t.Error("a call of three bytes")
	}
}

func TestAligned(t *testing.T) {
	tests := []struct {
		name string
		word uint32
		want int
	}{
		{name: "ldr x0, [x1, #0x7ff8]", word: 0xf97ffc20, want: 1},
		{name: "stp q0, q1, [x0, #32]", word: 0xad010400, want: 1},
		{name: "ldr x4, .+8", word: 0x58000044, want: 1},
		{name: "ld1 {v0.16b}, [x0], #16", word: 0x4cdf7000, want: 1},
		{name: "ldr x0, [x1, x2, lsl #3]", word: 0xf8627820, want: 1},
		{name: "ldraa x0, [x1, #8]", word: 0xf8201420, want: 1},
		{name: "add x0, x1, #0x123", word: 0x91048c20, want: 1},
		{name: "fadd d0, d1, d2", word: 0x1e622820, want: 1},
		{name: "st1b {z0.b}, p0, [x0]", word: 0xe400e000, want: 1},
		{name: "ldxr x0, [x1]", word: 0xc85f7c20, want: 8},
		{name: "ldxp x0, x1, [x2]", word: 0xc87f0440, want: 16},
		{name: "stxr w3, w0, [x1]", word: 0x88037c20, want: 4},
		{name: "stlxp w3, w0, w1, [x2]", word: 0x88238440, want: 8},
		{name: "ldar w0, [x1]", word: 0x88dffc20, want: 4},
		{name: "stlrh w0, [x1]", word: 0x489ffc20, want: 2},
		{name: "ldapr x0, [x1]", word: 0xf8bfc020, want: 8},
		{name: "ldapurb w0, [x1, #3]", word: 0x19403020, want: 1},
		{name: "ldapur x0, [x1, #8]", word: 0xd9408020, want: 8},
		{name: "stlur w0, [x1, #8]", word: 0x99008020, want: 4},
		{name: "cas x0, x1, [x2]", word: 0xc8a07c41, want: 8},
		{name: "casb w0, w1, [x2]", word: 0x08a07c41, want: 1},
		{name: "casp x0, x1, x2, x3, [x4]", word: 0x48207c82, want: 16},
		{name: "casp w0, w1, w2, w3, [x4]", word: 0x08207c82, want: 8},
		{name: "ldadd w0, w1, [x2]", word: 0xb8200041, want: 4},
		{name: "ldaddalh w0, w1, [x2]", word: 0x78e00041, want: 2},
		{name: "stset x0, [x2]", word: 0xf820305f, want: 8},
		{name: "ld64b x0, [x2]", word: 0xf83fd040, want: 64},
		{name: "swp x0, x1, [sp]", word: 0xf82083e1, want: 1},
		{name: "stg x0, [x1, #16]", word: 0xd9201820, want: 16},
		{name: "ldg x0, [x1, #16]", word: 0xd9601020, want: 1},
		{name: "stgp x0, x1, [x2, #16]", word: 0x69008440, want: 16},
		{name: "swpp x0, x1, [x2] (LSE128)", word: 0x19218040, want: 16},
		{name: "cpyfm [x3]!, [x1]!, x2!", word: 0x19410443, want: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Aligned(codeOf(test.word)); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
	if Aligned(nil) != 1 {
		t.Error("nothing is aligned")
	}
}
