package image

import "hotpatch/arch"

// pointerUse says how code uses a pointer that an instruction put into a register.
type pointerUse struct {
	based    bool // as base of a memory operand, or of a lea
	indexed  bool // the same, together with an index register
	compared bool // with another register: it may be a bound
}

// useWindow is how many instructions behind a lea are looked at.
const useWindow = 40

// pointerUse looks at the instructions that follow the lea at start in part p, in the order of their addresses, until the register gets
// another value than a higher one. It is evidence, not proof: the order of execution may be another, and an index negative.
// Where it is wrong, an address is taken for the start of what lies there although it is the end of what lies in front.
func (d *Decoder) pointerUse(p *part, start uint32) pointerUse {
	var u pointerUse
	off := int(start)
	next := off + d.instAt(p, start).Len
	lea, ok := parseX86(p.code[off:next])
	if !ok || lea.twoByte || lea.opcode != 0x8d {
		return u
	}
	r := lea.reg
	off = next
	for n := 0; n < useWindow && off < len(p.code); n++ {
		if s := p.state[off]; s != byteStart && s != byteUnseen {
			return u
		}
		in := d.instAt(p, uint32(off))
		if (in.Flow == arch.FlowCall || in.Flow == arch.FlowCallInd) && !calleeSaved(r) {
			return u
		}
		code := p.code[off : off+in.Len]
		if x, ok := parseX86(code); ok {
			u.add(&x, r)
			if up, ok := x.step(code); x.changes(r) && !(ok && up > 0) {
				return u
			}
		}
		off += in.Len
	}
	return u
}

// step returns what the instruction adds to its register operand, if it adds or subtracts a constant (Intel SDM vol. 2, ADD: 81 /0,
// 83 /0; SUB: 81 /5, 83 /5).
func (x *x86Operands) step(code []byte) (delta int64, ok bool) {
	add := x.reg&7 == 0
	if x.twoByte || x.rm < 0 || !add && x.reg&7 != 5 {
		return 0, false
	}
	switch {
	case x.opcode == 0x83 && x.immOff < len(code):
		delta = int64(int8(code[x.immOff]))
	case x.opcode == 0x81 && x.immOff+4 <= len(code):
		delta = int64(int32(order.Uint32(code[x.immOff:])))
	default:
		return 0, false
	}
	if !add {
		delta = -delta
	}
	return delta, true
}

// add notes how one instruction uses register r.
func (u *pointerUse) add(x *x86Operands, r int8) {
	if x.base == r || x.index == r {
		u.based = true
		u.indexed = u.indexed || x.index >= 0 && x.base >= 0
	}
	if !x.twoByte && (x.opcode == 0x39 || x.opcode == 0x3b) && (x.reg == r || x.rm == r) {
		u.compared = true
	}
}

// calleeSaved reports whether the System V ABI preserves the general register across calls.
func calleeSaved(r int8) bool { return r == 3 || r == 4 || r == 5 || r >= 12 }

// x86Operands are the registers that the ModRM and SIB bytes of an x86-64 instruction name, by number; -1: none.
type x86Operands struct {
	twoByte     bool // opcode is in the 0F map
	opcode      byte
	reg, rm     int8 // rm only if it is a register
	base, index int8
	disp        int32 // of the memory operand
	immOff      int   // where an immediate would be
	fs          bool
}

// parseX86 reads the operands of one instruction of the one-byte map or of the 0F map (Intel SDM vol. 2, 2.1).
// It is false for forms without ModRM and for other maps; only Decode is an authority on what an
// instruction is.
func parseX86(code []byte) (x86Operands, bool) {
	x := x86Operands{reg: -1, rm: -1, base: -1, index: -1}
	i := 0
	for ; i < len(code) && isLegacyPrefix(code[i]); i++ {
		x.fs = x.fs || code[i] == 0x64
	}
	var rex byte
	if i < len(code) && code[i]&0xf0 == 0x40 {
		rex = code[i]
		i++
	}
	if i < len(code) && code[i] == 0x0f {
		x.twoByte = true
		i++
	}
	if i >= len(code) {
		return x, false
	}
	x.opcode = code[i]
	if !x.twoByte && x.opcode == 0x05 { // add $imm32, %rax
		x.rm = 0
		return x, true
	}
	if !hasModRM(x.twoByte, x.opcode) || i+1 >= len(code) {
		return x, false
	}
	modrm := code[i+1]
	x.reg = int8(modrm>>3&7 | rex&4<<1)
	if modrm>>6 == 3 {
		x.rm, x.immOff = int8(modrm&7|rex&1<<3), i+2
		return x, true
	}
	ok := x.memory(code, i+2, modrm, rex)
	return x, ok
}

// memory reads the operand in memory that a ModRM byte names; i is the index of what follows that byte.
func (x *x86Operands) memory(code []byte, i int, modrm, rex byte) bool {
	mod := modrm >> 6
	switch rm := int8(modrm&7 | rex&1<<3); {
	case rm&7 != 4:
		if mod != 0 || rm&7 != 5 { // else relative to the instruction pointer
			x.base = rm
		}
	case i >= len(code):
		return false
	default:
		sib := code[i]
		i++
		if x.index = int8(sib>>3&7 | rex&2<<2); x.index == regSP {
			x.index = -1
		}
		if x.base = int8(sib&7 | rex&1<<3); x.base&7 == 5 && mod == 0 {
			x.base = -1
		}
	}
	x.immOff = i
	switch {
	case mod == 1 && i < len(code):
		x.disp = int32(int8(code[i]))
		x.immOff++
	case mod == 2 && i+4 <= len(code):
		x.disp = int32(order.Uint32(code[i:]))
		x.immOff += 4
	case mod == 0 && x.base < 0:
		x.immOff += 4 // relative to the instruction pointer, or without a base
	}
	return true
}

func isLegacyPrefix(b byte) bool {
	switch b {
	case 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65:
		return true
	}
	return false
}

// hasModRM reports whether an opcode is followed by a ModRM byte (SDM vol. 2, appendix A, the columns E, G, M, W).
func hasModRM(twoByte bool, op byte) bool {
	if twoByte {
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

// changes reports whether the instruction may give register r another value, as far as the one-byte map's arithmetic and
// moves go, and conditional and widening moves. Where an instruction's form is not listed, it does not count.
func (x *x86Operands) changes(r int8) bool {
	if x.overwrites(r) {
		return true
	}
	op := x.opcode
	if x.twoByte {
		return x.reg == r && (op&0xf0 == 0x40 || op == 0xaf || op&0xf6 == 0xb6) // cmov, imul, movzx and movsx
	}
	switch {
	case op < 0x38: // add, or, adc, sbb, and, sub, xor
		return op&2 == 0 && x.rm == r || op&2 != 0 && x.reg == r
	case op == 0x80, op == 0x81, op == 0x83:
		return x.rm == r && x.reg&7 != 7 // but for cmp
	case op == 0x86, op == 0x87:
		return x.rm == r || x.reg == r
	case op == 0x88, op == 0x89, op&0xfe == 0xc0, op&0xfe == 0xc6, op&0xfc == 0xd0:
		return x.rm == r
	case op == 0x8a, op == 0x8b, op == 0x8d, op == 0x63, op == 0x69, op == 0x6b:
		return x.reg == r
	case op&0xfe == 0xf6:
		return x.rm == r && x.reg&6 == 2 || x.reg&4 != 0 && (r == 0 || r == 2) // not, neg; mul and div
	case op&0xfe == 0xfe:
		return x.rm == r && x.reg&7 < 2 // inc, dec
	}
	return false
}

// overwrites reports whether the instruction gives register r a new value that does not depend on the old one, as far
// as mov, lea, movzx, movsx and xor of a register with itself go.
func (x *x86Operands) overwrites(r int8) bool {
	if x.twoByte {
		switch x.opcode {
		case 0xb6, 0xb7, 0xbe, 0xbf:
			return x.reg == r
		}
		return false
	}
	switch x.opcode {
	case 0x8b, 0x8d, 0x63:
		return x.reg == r && x.base != r && x.index != r
	case 0x89, 0xc7:
		return x.rm == r
	case 0x31, 0x33:
		return x.rm == r && x.reg == r
	}
	return false
}
