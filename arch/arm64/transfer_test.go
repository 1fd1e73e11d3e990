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

// FuzzTransfer holds: what is said to get a value is among the registers that are written, and what is told of an operand is what the
// decoder tells.
func FuzzTransfer(f *testing.F) {
	for _, w := range []uint32{0xb0000001, 0x91004020, 0xf9400420, 0xa9bf7bfd, 0x38624820, 0xb8e00041, 0x0d9f0000, 0x04bf5020} {
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
		if op := in.Ops[0]; in.NumOps > 0 && op.Kind == arch.OpDisp && !op.Addr && (x.Mem.Disp != op.Value || x.Mem.Width != op.Width) {
			t.Fatalf("%08x: operand %+v, transfer %+v", w, op, x)
		}
	})
}
