package arm64

import (
	"encoding/binary"
	"testing"

	"hotpatch/arch"
)

// TestTransfer holds the words of GNU as to what they do with registers.
func TestTransfer(t *testing.T) {
	none := arch.NoReg
	for _, c := range []struct {
		text  string
		word  uint32
		kind  arch.TransferKind
		dst   arch.Reg
		src   arch.Reg
		src2  arch.Reg
		base  arch.Reg
		index arch.Reg
		disp  int64
		imm   int64
		limit uint64
		reads arch.Regs
	}{
		{text: "adrp x1, .+0x1000", word: 0xb0000001, kind: arch.TransferAddress, dst: 1, src: none, src2: none, base: none, index: none, disp: 0x1000},
		{text: "adr x1, .+8", word: 0x10000041, kind: arch.TransferAddress, dst: 1, src: none, src2: none, base: none, index: none, disp: 8},
		{text: "add x0, x1, #0x10", word: 0x91004020, kind: arch.TransferAddress, dst: 0, src: none, src2: none, base: 1, index: none, disp: 16, reads: 2},
		{text: "add x0, x1, #1, lsl #12", word: 0x91400420, kind: arch.TransferAddress, dst: 0, src: none, src2: none, base: 1, index: none, disp: 4096, reads: 2},
		{text: "sub sp, sp, #32", word: 0xd10083ff, kind: arch.TransferAddress, dst: 31, src: none, src2: none, base: 31, index: none, disp: -32, reads: 1 << 31},
		{text: "mov x2, x3", word: 0xaa0303e2, kind: arch.TransferMove, dst: 2, src: 3, src2: none, base: none, index: none, reads: 8},
		{text: "mov w2, #7", word: 0x528000e2, kind: arch.TransferConst, dst: 2, src: none, src2: none, base: none, index: none, imm: 7, limit: 7},
		{text: "mov x2, #-1", word: 0x92800002, kind: arch.TransferConst, dst: 2, src: none, src2: none, base: none, index: none, imm: -1, limit: 1<<64 - 1},
		{text: "movk x2, #5, lsl #16", word: 0xf2a000a2, kind: arch.TransferInsert, dst: 2, src: 2, src2: none, base: none, index: none, imm: 5 << 16, reads: 4},
		{text: "and w0, w1, #0xf", word: 0x12000c20, kind: arch.TransferArith, dst: 0, src: 1, src2: none, base: none, index: none, limit: 15, reads: 2},
		{text: "ubfx w0, w1, #3, #2", word: 0x53031020, kind: arch.TransferArith, dst: 0, src: 1, src2: none, base: none, index: none, limit: 3, reads: 2},
		{text: "lsl w0, w1, #2", word: 0x531e7420, kind: arch.TransferArith, dst: 0, src: 1, src2: none, base: none, index: none, limit: 0xfffffffc, reads: 2},
		{text: "cmp w0, #9", word: 0x7100241f, kind: arch.TransferCompare, dst: none, src: 0, src2: none, base: none, index: none, imm: 9, reads: 1},
		{text: "ldr x0, [x1, #8]", word: 0xf9400420, kind: arch.TransferLoad, dst: 0, src: none, src2: none, base: 1, index: none, disp: 8, reads: 2},
		{text: "ldrb w0, [x1, w2, uxtw]", word: 0x38624820, kind: arch.TransferLoad, dst: 0, src: none, src2: none, base: 1, index: 2, limit: 255, reads: 6},
		{text: "stp x29, x30, [sp, #-16]!", word: 0xa9bf7bfd, kind: arch.TransferStore, dst: none, src: 29, src2: 30, base: 31, index: none, disp: -16, reads: 7 << 29},
		{text: "ldr x0, [x1], #8", word: 0xf8408420, kind: arch.TransferLoad, dst: 0, src: none, src2: none, base: 1, index: none, reads: 2},
		{text: "add x0, x1, w2, sxtb #2", word: 0x8b228820, kind: arch.TransferAddress, dst: 0, src: none, src2: none, base: 1, index: 2, reads: 6},
		{text: "csel x0, x1, x2, eq", word: 0x9a820020, kind: arch.TransferSelect, dst: 0, src: 1, src2: 2, base: none, index: none, reads: 6},
		{text: "cset w0, eq", word: 0x1a9f17e0, kind: arch.TransferArith, dst: 0, src: none, src2: none, base: none, index: none, reads: 0},
		{text: "udiv x0, x1, x2", word: 0x9ac20820, kind: arch.TransferArith, dst: 0, src: 1, src2: 2, base: none, index: none, reads: 6},
		{text: "lsl x0, x1, x2", word: 0x9ac22020, kind: arch.TransferArith, dst: 0, src: 1, src2: 2, base: none, index: none, reads: 6},
		{text: "adc x0, x1, x2", word: 0x9a020020, kind: arch.TransferArith, dst: 0, src: 1, src2: 2, base: none, index: none, reads: 6},
		{text: "fmov d0, x1", word: 0x9e670020, kind: arch.TransferArith, dst: none, src: 1, src2: none, base: none, index: none, reads: 2},
		{text: "br x3", word: 0xd61f0060, kind: arch.TransferNone, dst: none, src: 3, src2: none, base: none, index: none, reads: 8},
		{text: "stg x0, [x1, #32]", word: 0xd9202820, kind: arch.TransferArith, dst: none, src: 0, src2: none, base: 1, index: none, disp: 32, reads: 3},
		{text: "st2g sp, [x3, #-32]", word: 0xd9bfe87f, kind: arch.TransferArith, dst: none, src: 31, src2: none, base: 3, index: none, disp: -32, reads: 1<<31 | 8},
		{text: "stlur x2, [x1, #8]", word: 0xd9008022, kind: arch.TransferArith, dst: none, src: 2, src2: none, base: 1, index: none, disp: 8, reads: 6},
		{text: "cntd x0", word: 0x04e0e3e0, kind: arch.TransferArith, dst: 0, src: none, src2: none, base: none, index: none, reads: 0},
		{text: "ldaddal w0, w1, [x2]", word: 0xb8e00041, kind: arch.TransferArith, dst: none, src: 0, src2: none, base: 2, index: none, reads: 5},
	} {
		code := binary.LittleEndian.AppendUint32(nil, c.word)
		in, err := Arch.Decode(code)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var x arch.Transfer
		Transfer(&x, code, &in)
		if x.Kind != c.kind || x.Dst != c.dst || x.Src != c.src || x.Src2 != c.src2 || x.Mem.Base != c.base || x.Mem.Index != c.index ||
			x.Mem.Disp != c.disp || x.Imm != c.imm || x.Limit != c.limit || x.Reads != c.reads {
			t.Errorf("%s: %+v", c.text, x)
		}
	}
}

// TestTransferKinds holds words of GNU as to what the analyses of addresses ask beside the operands.
func TestTransferKinds(t *testing.T) {
	for _, c := range []struct {
		text                         string
		word                         uint32
		kind                         arch.TransferKind
		writes                       arch.Regs
		step                         int64 // of the base
		wide, negates, adds          bool
		minus, pair, vector, flagged bool
	}{
		{text: "ldr x0, [x1, #-8]!", word: 0xf85f8c20, kind: arch.TransferLoad, writes: 3, step: -8, wide: true},
		{text: "str x0, [x1], #16", word: 0xf8010420, kind: arch.TransferStore, writes: 2, step: 16},
		{text: "ldp x0, x2, [x1, #16]", word: 0xa9410820, kind: arch.TransferLoad, writes: 5, wide: true, pair: true},
		{text: "ldp w0, w2, [x1], #8", word: 0x28c10820, kind: arch.TransferLoad, writes: 7, step: 8, pair: true},
		{text: "add w0, w1, #4", word: 0x11001020, kind: arch.TransferArith, writes: 1, adds: true},
		{text: "sub w0, w0, #4", word: 0x51001000, kind: arch.TransferArith, writes: 1, adds: true},
		{text: "adds x0, x0, #4", word: 0xb1001000, kind: arch.TransferArith, writes: 1, adds: true, flagged: true},
		{text: "subs x0, x0, #4", word: 0xf1001000, kind: arch.TransferCompare, writes: 1, wide: true, adds: true, flagged: true},
		{text: "sub x0, x1, x2", word: 0xcb020020, kind: arch.TransferAddress, writes: 1, wide: true, minus: true},
		{text: "sub w0, w1, w2", word: 0x4b020020, kind: arch.TransferCompare, writes: 1},
		{text: "neg x0, x1", word: 0xcb0103e0, kind: arch.TransferArith, writes: 1, negates: true},
		{text: "mvn x0, x1", word: 0xaa2103e0, kind: arch.TransferArith, writes: 1, negates: true},
		{text: "mov w0, w1", word: 0x2a0103e0, kind: arch.TransferMove, writes: 1},
		{text: "csel w0, w1, w2, eq", word: 0x1a820020, kind: arch.TransferSelect, writes: 1},
		{text: "csinc x0, x1, x2, eq", word: 0x9a820420, kind: arch.TransferArith, writes: 1},
		{text: "csneg x0, x1, x2, eq", word: 0xda820420, kind: arch.TransferArith, writes: 1, negates: true},
		{text: "ccmp x0, x1, #0, ne", word: 0xfa411000, kind: arch.TransferCompare, wide: true, flagged: true},
		{text: "ccmp x0, #1, #0, ne", word: 0xfa411800, kind: arch.TransferArith, flagged: true},
		{text: "cmp x0, w1, sxtw #2", word: 0xeb21c81f, kind: arch.TransferCompare, wide: true, flagged: true},
		{text: "madd x0, x1, x2, x3", word: 0x9b020c20, kind: arch.TransferArith, writes: 1},
		{text: "msub x0, x1, x2, x3", word: 0x9b028c20, kind: arch.TransferArith, writes: 1, negates: true},
		{text: "smulh x0, x1, x2", word: 0x9b427c20, kind: arch.TransferArith, writes: 1},
		{text: "sxtw x0, w1", word: 0x93407c20, kind: arch.TransferArith, writes: 1},
		{text: "ldxr x0, [x1]", word: 0xc85f7c20, kind: arch.TransferArith, writes: 1},
		{text: "stxr w0, x2, [x1]", word: 0xc8007c22, kind: arch.TransferArith, writes: 1},
		{text: "stlr x0, [x1]", word: 0xc89ffc20, kind: arch.TransferArith},
		{text: "casal x0, x2, [x1]", word: 0xc8e0fc22, kind: arch.TransferArith, writes: 1},
		{text: "swp x0, x2, [x1]", word: 0xf8208022, kind: arch.TransferArith, writes: 4},
		{text: "ld1 {v0.16b}, [x1], #16", word: 0x4cdf7020, kind: arch.TransferArith, writes: 2, vector: true},
		{text: "st1 {v0.16b, v1.16b}, [x1], x2", word: 0x4c82a020, kind: arch.TransferArith, writes: 2, vector: true},
		{text: "prfm pldl1keep, [x1, #256]", word: 0xf9808020, kind: arch.TransferNone},
		{text: "fmov d0, x1", word: 0x9e670020, kind: arch.TransferArith, vector: true},
		{text: "dup v0.2d, x1", word: 0x4e080c20, kind: arch.TransferArith, vector: true},
		{text: "dc zva, x0", word: 0xd50b7420, kind: arch.TransferOther},
		{text: "dc cvau, x0", word: 0xd50b7b20, kind: arch.TransferNone, flagged: true},
		{text: "whilelo p0.s, w3, w4", word: 0x25a40c60, kind: arch.TransferOther, writes: 1, flagged: true},
		{text: "fmov x0, d1", word: 0x9e660020, kind: arch.TransferArith, writes: 1, vector: true, wide: true},
		{text: "fmov x0, v1.d[1]", word: 0x9eae0020, kind: arch.TransferArith, writes: 1, vector: true, wide: true},
		{text: "mov x0, v1.d[1]", word: 0x4e183c20, kind: arch.TransferArith, writes: 1, vector: true, wide: true},
		{text: "mov w0, v1.s[1]", word: 0x0e0c3c20, kind: arch.TransferArith, writes: 1, vector: true},
		{text: "fmov w0, s1", word: 0x1e260020, kind: arch.TransferArith, writes: 1, vector: true},
		{text: "fcvtzs x0, d1", word: 0x9e780020, kind: arch.TransferArith, writes: 1, vector: true},
		{text: "lasta x0, p0, z1.d", word: 0x05e0a020, kind: arch.TransferArith, writes: 1, vector: true, wide: true},
		{text: "lastb w0, p0, z1.s", word: 0x05a1a020, kind: arch.TransferArith, writes: 1, vector: true},
	} {
		code := binary.LittleEndian.AppendUint32(nil, c.word)
		in, err := Arch.Decode(code)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var x arch.Transfer
		Transfer(&x, code, &in)
		if x.Kind != c.kind || x.Writes != c.writes || x.Step != c.step || x.WriteBack != (c.step != 0) || x.Wide != c.wide || x.Negates != c.negates ||
			x.Adds != c.adds || x.Mem.Minus != c.minus || x.Pair != c.pair || x.Vector != c.vector || x.Flags != c.flagged {
			t.Errorf("%s: %+v", c.text, x)
		}
	}
}

// FuzzTransfer holds: what is said to get a value is among the registers that are written, and what is told of an operand is what the
// decoder tells. Every register that the tables of effects name is read or written.
func FuzzTransfer(f *testing.F) {
	for _, w := range []uint32{0xb0000001, 0x91004020, 0xf9400420, 0xa9bf7bfd, 0x38624820, 0xb8e00041, 0x0d9f0000, 0x04bf5020, 0x0d9effb0} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, w uint32) {
		code := binary.LittleEndian.AppendUint32(nil, w)
		in, err := Arch.Decode(code)
		if err != nil {
			return
		}
		var x arch.Transfer
		Transfer(&x, code, &in)
		for _, r := range []arch.Reg{x.Dst, x.Dst2} {
			if r != arch.NoReg && !x.Writes.Has(r) {
				t.Fatalf("%08x: x%d gets a value and is not written: %+v", w, r, x)
			}
		}
		if x.WriteBack && !x.Writes.Has(x.Mem.Base) {
			t.Fatalf("%08x: the base is not written: %+v", w, x)
		}
		if named := x.Src.Bit() | x.Src2.Bit() | x.Mem.Base.Bit() | x.Mem.Index.Bit(); named&^x.Reads != 0 {
			t.Fatalf("%08x: a register that is used is not read: %+v", w, x)
		}
		if e, ok := effectsOf(w); ok && in.Flow == arch.FlowNext && !IsNop(code, &in) {
			general := arch.RegSet(1<<32 - 1)
			if lost := arch.Regs(e.Write&general) &^ x.Writes; lost != 0 {
				t.Fatalf("%08x: %#x is written: %+v", w, lost, x)
			}
			if lost := arch.Regs(e.Read&general) &^ x.Reads; lost != 0 {
				t.Fatalf("%08x: %#x is read: %+v", w, lost, x)
			}
		}
		if op := in.Ops[0]; in.NumOps > 0 && op.Kind == arch.OpDisp && !op.Addr && (x.Mem.Disp != op.Value || x.Mem.Width != op.Width) {
			t.Fatalf("%08x: operand %+v, transfer %+v", w, op, x)
		}
	})
}
