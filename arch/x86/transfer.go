package x86

import "hotpatch/arch"

// Transfer says what the first instruction of code does with the values in general registers: [arch.Arch.Transfer]. It describes the
// one-byte map and the 0F map as far as compilers use them with pointers (Intel SDM vol. 2, tables ); of the rest it says which registers are
// read and written, by the tables of [Effects]. An addition of a constant to a register is a TransferAddress, whatever its size, so that Wide is
// to be looked at; one of 8 or 16 bits is a TransferInsert.
func Transfer(t *arch.Transfer, code []byte, in *arch.Inst) {
	*t = arch.Transfer{Dst: arch.NoReg, Dst2: arch.NoReg, Src: arch.NoReg, Src2: arch.NoReg}
	t.Mem.Base, t.Mem.Index = arch.NoReg, arch.NoReg
	if in.Flow != arch.FlowNext && in.Flow != arch.FlowCallInd && in.Flow != arch.FlowJumpInd {
		t.Kind = arch.TransferNone
		switch op := code[0]; {
		case in.Flow == arch.FlowSyscall:
			transferOther(t, code, in)
		case op >= 0xe0 && op <= 0xe2: // loop
			t.Writes, t.Reads = 1<<regCX, 1<<regCX
		}
		return
	}
	x := operands{code: code[:in.Len], t: t}
	if !x.parse() || !x.describe() {
		mem, hasMem := t.Mem, x.modRM && x.rm < 0
		*t = arch.Transfer{Dst: arch.NoReg, Dst2: arch.NoReg, Src: arch.NoReg, Src2: arch.NoReg, HasMem: hasMem}
		t.Mem = arch.Mem{Base: arch.NoReg, Index: arch.NoReg}
		if hasMem {
			t.Mem = mem
			t.Mem.Load, t.Mem.Store = true, true
		}
		transferOther(t, code, in)
		if x.modRM {
			t.Src, t.Src2 = x.reg, x.rm // as far as they are general registers
		}
		return
	}
	t.Writes |= t.Dst.Bit()
	t.Reads |= t.Src.Bit() | t.Src2.Bit() | t.Mem.Base.Bit() | t.Mem.Index.Bit()
	if t.WriteBack {
		t.Writes |= t.Mem.Base.Bit()
	}
}

// transferOther says which registers an instruction reads and writes.
func transferOther(t *arch.Transfer, code []byte, in *arch.Inst) {
	t.Writes, t.Reads = arch.Regs(convention.General), arch.Regs(convention.General)
	if e, ok := Effects(code[:in.Len], in); ok {
		t.Writes, t.Reads = arch.Regs(e.Write&convention.General), arch.Regs(e.Read&convention.General)
	}
	t.Flags = true
}

// operands are an instruction's opcode and the registers that its ModRM and SIB bytes name.
type operands struct {
	code   []byte
	t      *arch.Transfer // Mem is filled in while the operands are read
	twoB   bool           // opcode is in the 0F map
	op     byte
	rex    byte
	data16 bool
	rep    byte // f2, f3; 0: none
	modrm  byte
	modRM  bool     // there is such a byte
	reg    arch.Reg // of ModRM.reg
	rm     arch.Reg // NoReg: in memory
	digit  byte     // ModRM.reg where it is a part of the opcode
	immOff int      // where an immediate would be
}

// parse reads prefixes, opcode, ModRM, SIB and displacement (Intel SDM vol. 2, 2.1). It is false for other maps than the one-byte map and the 0F map.
func (x *operands) parse() bool {
	x.reg, x.rm = arch.NoReg, arch.NoReg
	code, i := x.code, 0
	for ; i < len(code) && prefixKinds[code[i]] == prefixLegacy; i++ {
		switch b := code[i]; b {
		case 0x66:
			x.data16 = true
		case 0xf2, 0xf3:
			x.rep = b
		case segFS, segGS:
			x.t.Mem.Seg = true
		}
	}
	if i < len(code) && prefixKinds[code[i]] == prefixREX {
		x.rex = code[i]
		i++
	}
	if i < len(code) && code[i] == 0x0f {
		x.twoB = true
		i++
	}
	if i >= len(code) {
		return false
	}
	x.op = code[i]
	x.immOff = i + 1
	if !namesModRM(x.twoB, x.op) {
		return true
	}
	if i+1 >= len(code) {
		return false
	}
	x.modrm, x.modRM = code[i+1], true
	x.digit = x.modrm >> 3 & 7
	x.reg = arch.Reg(x.digit | x.rex&4<<1)
	if x.modrm>>6 == 3 {
		x.rm, x.immOff = arch.Reg(x.modrm&7|x.rex&1<<3), i+2
		return true
	}
	return x.memory(i + 2)
}

// memory reads the operand in memory that the ModRM byte names; i is the index of what follows that byte.
func (x *operands) memory(i int) bool {
	m, code, mod := &x.t.Mem, x.code, x.modrm>>6
	pc := false
	switch rm := arch.Reg(x.modrm&7 | x.rex&1<<3); {
	case rm&7 != 4:
		if pc = mod == 0 && rm&7 == 5; !pc {
			m.Base = rm
		}
	case i >= len(code):
		return false
	default:
		sib := code[i]
		i++
		if m.Index = arch.Reg(sib>>3&7 | x.rex&2<<2); m.Index == regSP {
			m.Index = arch.NoReg
		}
		m.Scale = sib >> 6
		if m.Base = arch.Reg(sib&7 | x.rex&1<<3); m.Base&7 == 5 && mod == 0 {
			m.Base = arch.NoReg
		}
	}
	switch {
	case mod == 1 && i < len(code):
		m.Disp = int64(int8(code[i]))
		i++
	case mod == 2 && i+4 <= len(code), mod == 0 && m.Base < 0 && i+4 <= len(code):
		m.Disp = disp32(code[i:])
		i += 4
	case mod != 0 || m.Base < 0:
		return false
	}
	switch {
	case pc:
		m.From = arch.FromInst
		m.Disp += int64(len(code))
	case m.Seg && m.Base < 0:
		m.From = arch.FromSegment
	}
	x.immOff = i
	x.t.HasMem = true
	return true
}

// namesModRM reports whether an opcode is followed by a ModRM byte (Intel SDM vol. 2, appendix A, the columns E, G, M, W), as far as the 0F map is described.
func namesModRM(twoB bool, op byte) bool {
	if twoB {
		switch {
		case op == 0x05, op == 0x0b, op == 0x31, op == 0x34, op == 0x77, op == 0xa2, op == 0xaa,
			op&0xf0 == 0x80, op >= 0xc8 && op <= 0xcf, op&0xfe == 0xa0, op&0xfe == 0xa8, op == 0x38, op == 0x3a:
			return false
		}
		return true
	}
	switch {
	case op < 0x40:
		return op&7 < 4
	case op == 0x63, op == 0x69, op == 0x6b, op >= 0x80 && op <= 0x8f,
		op == 0xc0, op == 0xc1, op == 0xc6, op == 0xc7, op >= 0xd0 && op <= 0xd3, op >= 0xd8 && op <= 0xdf,
		op == 0xf6, op == 0xf7, op == 0xfe, op == 0xff:
		return true
	}
	return false
}

// size returns the operand size in bytes of an instruction whose opcode says by its lowest bit whether that is one byte.
func (x *operands) size() uint8 {
	switch {
	case x.op&1 == 0:
		return 1
	case x.rex&8 != 0:
		return 8
	case x.data16:
		return 2
	}
	return 4
}

// byteReg is the register of which an operand of one byte is a part: without REX, numbers 4 to 7 are the second bytes of the first four.
func (x *operands) byteReg(r arch.Reg, size uint8) arch.Reg {
	if size == 1 && x.rex == 0 && r >= 4 && r < 8 {
		return r - 4
	}
	return r
}

// imm returns the immediate of up to four bytes, sign-extended.
func (x *operands) imm(size uint8) int64 {
	b := x.code[min(x.immOff, len(x.code)):]
	switch {
	case size == 1 && len(b) >= 1:
		return int64(int8(b[0]))
	case size == 2 && len(b) >= 2:
		return int64(int16(uint16(b[0]) | uint16(b[1])<<8))
	case len(b) >= 4:
		return disp32(b)
	}
	return 0
}

// access notes what is done to the operand in memory.
func (x *operands) access(width uint8, load, store bool) {
	if x.t.HasMem {
		x.t.Mem.Width, x.t.Mem.Load, x.t.Mem.Store = width, load, store
	}
}

// describe fills in the transfer; false: it cannot.
func (x *operands) describe() bool {
	if x.t.HasMem && x.code[0] == lockPrefix {
		return x.locked()
	}
	if x.twoB {
		return x.describe0F()
	}
	switch op := x.op; {
	case op < 0x40:
		return x.alu()
	case op >= 0x80 && op <= 0x83:
		x.aluImm(x.digit, x.rm)
		return true
	case op >= 0x50 && op <= 0x5f:
		return x.stack()
	case op == 0x68, op == 0x6a:
		x.push(arch.NoReg)
		return true
	case op == 0xc0, op == 0xc1, op >= 0xd0 && op <= 0xd3:
		x.change(x.size())
		x.t.Flags = true
		if op == 0xd2 || op == 0xd3 {
			x.t.Src2 = regCX
		}
		return true
	case op == 0xf6, op == 0xf7:
		return x.group3()
	case op == 0xfe, op == 0xff:
		return x.group5()
	case op >= 0x84 && op <= 0x8d, op == 0x63, op == 0x69, op == 0x6b, op == 0xc6, op == 0xc7:
		return x.moves()
	case op >= 0xd8 && op <= 0xdf: // x87
		x.t.Kind, x.t.Vector = arch.TransferArith, true
		x.access(0, true, true)
		return x.t.HasMem
	}
	return x.implied()
}

// locked describes a read-modify-write instruction: what is read of memory is not followed.
func (x *operands) locked() bool {
	if x.twoB || x.op >= 0x40 && (x.op < 0x80 || x.op > 0x83) {
		return false
	}
	x.access(x.size(), true, true)
	x.t.Kind, x.t.Flags = arch.TransferArith, true
	if x.op < 0x40 {
		x.t.Src = x.byteReg(x.reg, x.size())
	}
	return true
}

// change describes Dst = a function of itself, or the same of memory.
func (x *operands) change(size uint8) {
	t := x.t
	t.Kind, t.Wide = arch.TransferArith, size == 8
	x.access(size, true, true)
	if x.rm >= 0 {
		t.Dst = x.byteReg(x.rm, size)
		t.Src = t.Dst
		if size < 4 {
			t.Kind = arch.TransferInsert
		}
	}
}

// implied describes instructions that name their registers in the opcode, or not at all.
func (x *operands) implied() bool {
	t := x.t
	size := uint8(4)
	if x.rex&8 != 0 {
		size = 8
	} else if x.data16 {
		size = 2
	}
	r := arch.Reg(x.op&7 | x.rex&1<<3)
	switch op := x.op; {
	case op&0xf8 == 0xb8 && size > 2:
		t.Kind, t.Dst, t.HasImm, t.Wide = arch.TransferConst, r, true, true
		t.Imm = x.imm(4) & 0xffff_ffff
		if size == 8 && x.immOff+8 <= len(x.code) {
			t.Imm |= disp32(x.code[x.immOff+4:]) << 32
		}
	case op == 0x98 && size > 2: // cltq, cwtl
		t.Kind, t.Dst, t.Src, t.Part = arch.TransferMove, regAX, regAX, arch.Extend{Bits: size * 4, Signed: true}
	case op == 0x99 && size > 2: // cqto, cltd
		t.Kind, t.Dst, t.Src = arch.TransferArith, regDX, regAX
	case op == 0xc9: // leave
		t.Kind, t.Dst, t.HasMem, t.Writes = arch.TransferLoad, regBP, true, 1<<regSP
		t.Mem.Base, t.Mem.Width, t.Mem.Load, t.Wide = regBP, 8, true, true
	case op == 0xa8, op == 0xa9: // test
		t.Kind, t.Src, t.HasImm, t.Flags = arch.TransferArith, regAX, true, true
		t.Imm = x.imm(min(size, 4))
	default:
		return false
	}
	return true
}

// stack describes push and pop of a register.
func (x *operands) stack() bool {
	r := arch.Reg(x.op&7 | x.rex&1<<3)
	if x.op < 0x58 {
		x.push(r)
		return true
	}
	t := x.t
	t.Kind, t.Dst, t.HasMem, t.WriteBack, t.Step, t.Wide = arch.TransferLoad, r, true, true, 8, true
	t.Mem.Base, t.Mem.Width, t.Mem.Load = regSP, 8, true
	return r != regSP
}

// push describes a store below the stack pointer, which is moved there; NoReg: of a constant.
func (x *operands) push(r arch.Reg) {
	t := x.t
	t.Kind, t.Src, t.HasMem, t.WriteBack, t.Step = arch.TransferStore, r, true, true, -8
	t.Mem = arch.Mem{Base: regSP, Index: arch.NoReg, Disp: -8, Width: 8, Store: true}
}
