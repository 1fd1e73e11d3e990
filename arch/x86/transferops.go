package x86

import "hotpatch/arch"

// Operations of the first 64 opcodes and of 80 to 83, by number (Intel SDM vol. 2, table A-6, group 1).
const (
	aluAdd = iota
	aluOr
	aluAdc
	aluSbb
	aluAnd
	aluSub
	aluXor
	aluCmp
)

// alu describes the arithmetic of the first 64 opcodes.
func (x *operands) alu() bool {
	op := x.op >> 3
	switch x.op & 7 {
	case 4, 5:
		x.aluImm(op, regAX)
		return true
	case 6, 7:
		return false
	}
	t, size := x.t, x.size()
	dst, src := x.byteReg(x.rm, size), x.byteReg(x.reg, size)
	toReg := x.op&2 != 0
	if toReg {
		dst, src = src, dst
	}
	t.Kind, t.Src, t.Src2, t.Flags, t.Wide = arch.TransferArith, dst, src, true, size == 8
	x.access(size, true, !toReg && op != aluCmp)
	if op != aluCmp {
		t.Dst = dst
	}
	switch {
	case size == 1: // comparisons of bytes are of no addresses
		if t.Dst >= 0 {
			t.Kind = arch.TransferInsert
		}
	case op == aluCmp, op == aluSub:
		t.Kind = arch.TransferCompare
	case op == aluXor && dst == src && size >= 4:
		t.Kind, t.Imm, t.HasImm, t.Wide = arch.TransferConst, 0, true, true
		t.Src, t.Src2 = arch.NoReg, arch.NoReg
	case op == aluAdd && !t.HasMem && size >= 4:
		x.sum(dst, src, 0)
	}
	return true
}

// sum describes an addition to a register: of another one, or of a constant.
func (x *operands) sum(dst, index arch.Reg, n int64) {
	t := x.t
	t.Kind, t.Dst, t.HasMem, t.Src, t.Src2 = arch.TransferAddress, dst, true, arch.NoReg, arch.NoReg
	t.Imm, t.HasImm = 0, false
	t.Mem = arch.Mem{Base: dst, Index: index, Disp: n}
}

// aluImm describes arithmetic with an immediate; r is the register, or NoReg for memory.
func (x *operands) aluImm(op byte, r arch.Reg) {
	t, size := x.t, x.size()
	width := min(size, 4)
	if x.op == 0x83 {
		width = 1
	}
	n := x.imm(width)
	if size == 1 {
		n &= 0xff
	}
	r = x.byteReg(r, size)
	t.Kind, t.Dst, t.Src, t.Imm, t.HasImm, t.Flags, t.Wide = arch.TransferArith, r, r, n, true, true, size == 8
	x.access(size, true, op != aluCmp)
	switch {
	case op == aluCmp:
		t.Kind, t.Dst = arch.TransferCompare, arch.NoReg
	case op == aluSub && (r < 0 || size < 4): // of what a switch is on
		t.Kind = arch.TransferCompare
	case r < 0:
	case size < 4:
		t.Kind = arch.TransferInsert
	case op == aluAdd:
		x.sum(r, arch.NoReg, n)
	case op == aluSub:
		x.sum(r, arch.NoReg, -n)
	case op == aluOr && n == -1:
		t.Kind, t.Src, t.Wide = arch.TransferConst, arch.NoReg, true
		if size == 4 {
			t.Imm &= 0xffff_ffff
		}
	}
}

// moves describes mov, lea, xchg, test and multiplication.
func (x *operands) moves() bool {
	t, size := x.t, x.size()
	reg, rm := x.byteReg(x.reg, size), x.byteReg(x.rm, size)
	t.Wide = size == 8
	switch x.op {
	case 0x84, 0x85: // test
		t.Kind, t.Src, t.Src2, t.Flags = arch.TransferArith, rm, reg, true
		x.access(size, true, false)
	case 0x88, 0x89:
		x.move(rm, reg, size)
	case 0x8a, 0x8b:
		x.move(reg, rm, size)
	case 0x8d:
		if t.HasMem = x.rm < 0; !t.HasMem || x.data16 && x.rex&8 == 0 {
			return false
		}
		t.Kind, t.Dst, t.Wide, t.Mem.Seg = arch.TransferAddress, x.reg, x.rex&8 != 0, false
	case 0x63:
		x.extend(x.reg, x.rm, 4, true)
	case 0x69, 0x6b:
		t.Kind, t.Dst, t.Src, t.HasImm, t.Flags, t.Wide = arch.TransferArith, x.reg, x.rm, true, true, x.rex&8 != 0
		width := uint8(1)
		if x.op == 0x69 {
			width = min(size, 4)
		}
		t.Imm = x.imm(width)
		t.Negates = t.Imm < 0
		x.access(0, true, false)
	case 0xc6, 0xc7:
		if x.digit != 0 {
			return false
		}
		x.move(rm, arch.NoReg, size)
		t.HasImm, t.Imm = true, x.imm(min(size, 4))
		if t.Kind == arch.TransferMove {
			t.Kind = arch.TransferConst
			if size == 4 {
				t.Imm, t.Wide = t.Imm&0xffff_ffff, true
			}
		}
	default: // xchg, mov of segment registers
		return false
	}
	return true
}

// move describes a move between registers, or between a register and memory.
func (x *operands) move(dst, src arch.Reg, size uint8) {
	t := x.t
	t.Dst, t.Src = dst, src
	switch {
	case !t.HasMem && size < 4:
		t.Kind, t.Src2 = arch.TransferInsert, src
		t.Src = dst
	case !t.HasMem:
		t.Kind = arch.TransferMove
	case dst < 0:
		t.Kind = arch.TransferStore
		x.access(size, false, true)
	case size < 4:
		t.Kind, t.Src = arch.TransferInsert, dst
		x.access(size, true, false)
	default:
		t.Kind = arch.TransferLoad
		x.access(size, true, false)
	}
}

// extend describes movzx, movsx and movslq: width bytes are extended.
func (x *operands) extend(dst, src arch.Reg, width uint8, signed bool) {
	t := x.t
	t.Dst = dst
	if t.HasMem {
		t.Kind, t.Signed = arch.TransferLoad, signed
		x.access(width, true, false)
		return
	}
	t.Kind, t.Src, t.Part = arch.TransferMove, src, arch.Extend{Bits: 8 * width, Signed: signed}
}

// group3 describes test, not, neg, multiplication and division (opcodes F6 and F7).
func (x *operands) group3() bool {
	t, size := x.t, x.size()
	switch {
	case x.digit < 2:
		t.Kind, t.Src, t.HasImm, t.Flags, t.Wide = arch.TransferArith, x.byteReg(x.rm, size), true, true, size == 8
		t.Imm = x.imm(min(size, 4))
		x.access(size, true, false)
	case x.digit < 4:
		x.change(size)
		t.Flags, t.Negates = true, true
	default:
		t.Kind, t.Dst, t.Src, t.Src2, t.Flags, t.Wide = arch.TransferArith, regAX, x.byteReg(x.rm, size), regAX, true, size == 8
		x.access(size, true, false)
		if size > 1 {
			t.Writes |= 1 << regDX
		}
		if size > 1 && x.digit >= 6 {
			t.Reads |= 1 << regDX
		}
	}
	return true
}

// group5 describes inc, dec, indirect branches and push (opcodes FE and FF).
func (x *operands) group5() bool {
	t, size := x.t, x.size()
	switch x.digit {
	case 0, 1:
		x.change(size)
		t.Flags = true
		if t.Kind == arch.TransferArith && x.rm >= 0 {
			x.sum(x.rm, arch.NoReg, 1-2*int64(x.digit))
		}
	case 2, 4:
		t.Kind, t.Src = arch.TransferArith, x.rm
		x.access(8, true, false)
	case 6:
		if x.rm >= 0 {
			x.push(x.rm)
			return true
		}
		t.Kind, t.Writes, t.Reads = arch.TransferArith, 1<<regSP, 1<<regSP
		x.access(8, true, false)
	default:
		return false
	}
	return true
}

// describe0F describes the 0F map.
func (x *operands) describe0F() bool {
	t := x.t
	wide := x.rex&8 != 0
	t.Wide = wide
	switch op := x.op; {
	case op == 0xb6, op == 0xb7, op == 0xbe, op == 0xbf: // movzx, movsx
		width := uint8(1) << (op & 1)
		x.extend(x.reg, x.byteReg(x.rm, width), width, op >= 0xbe)
		return !x.data16
	case op&0xf0 == 0x40 && !x.data16: // cmov
		t.Kind, t.Dst, t.Src, t.Src2 = arch.TransferSelect, x.reg, x.rm, x.reg
		x.access(0, true, false)
	case op == 0xaf && !x.data16: // imul
		t.Kind, t.Dst, t.Src, t.Src2, t.Flags = arch.TransferArith, x.reg, x.rm, x.reg, true
		x.access(0, true, false)
	case op&0xf0 == 0x90: // setcc
		t.Kind, t.Dst = arch.TransferInsert, x.byteReg(x.rm, 1)
		t.Src = t.Dst
		if t.HasMem {
			t.Kind = arch.TransferStore
		}
		x.access(1, false, true)
	case op&0xf0 == 0x80, op == 0x0b: // branches
		t.Kind = arch.TransferNone
	case op == 0x18, op == 0x0d, op >= 0x1c && op <= 0x1f: // hints
		t.Kind, t.HasMem = arch.TransferNone, false
		t.Mem = arch.Mem{Base: arch.NoReg, Index: arch.NoReg}
	case op == 0x6e: // movd, movq from a general register
		t.Kind, t.Vector, t.Src = arch.TransferArith, true, x.rm
		x.access(0, true, false)
		return x.data16
	case op == 0xc3 && x.t.HasMem: // movnti
		t.Kind, t.Src = arch.TransferStore, x.reg
		x.access(4<<(x.rex>>3&1), false, true)
	default:
		return x.vector0F()
	}
	return true
}

// vector0F describes instructions of the 0F map on vector registers that touch no general register.
func (x *operands) vector0F() bool {
	t := x.t
	load, store, move := false, false, false
	switch op := x.op; {
	case op == 0x10, op == 0x28, op == 0x6f:
		load, move = true, true
	case op == 0x11, op == 0x29, op == 0x7f:
		store, move = true, true
	case op == 0x7e && x.rep == 0xf3, op == 0x12, op == 0x14, op == 0x15, op == 0x16, op == 0x2e, op == 0x2f, op >= 0x51 && op <= 0x6d, op == 0x70,
		op >= 0x74 && op <= 0x76, op == 0xc2, op == 0xc6, op >= 0xd0 && op <= 0xfe && op != 0xd6 && op != 0xd7 && op != 0xe7 && op != 0xf7:
		load = true
	case op == 0x13, op == 0x17, op == 0xd6, op == 0xe7, op == 0x2b:
		store = true
	default:
		return false
	}
	t.Vector, t.Flags = true, x.op == 0x2e || x.op == 0x2f
	switch {
	case !t.HasMem:
		t.Kind = arch.TransferNone
	case move && load:
		t.Kind = arch.TransferLoad
	case move:
		t.Kind = arch.TransferStore
	default:
		t.Kind = arch.TransferArith
	}
	x.access(0, load, store)
	return true
}
