package x86

import "hotpatch/arch"

// IsNop reports whether the instruction has no effect, whatever its prefixes:
// nop in all its lengths, and what assemblers emit in its place: a 64-bit mov, xchg or
// lea of a register to itself. A 32-bit one clears the upper half of the
// register; pause (f3 90) is a hint, and neither is padding.
func IsNop(code []byte, in *arch.Inst) bool { return mayBeNop(code) && generalNop(code, in) }

// nopKinds tells which instructions of the one-byte map IsNop could be true of, by opcode.
var nopKinds = [256]uint8{0x87: nopRegister, 0x89: nopRegister, 0x8b: nopRegister, 0x8d: nopAny, 0x90: nopAny}

const (
	nopAny      = 1 + iota // any
	nopRegister            // those without an operand in memory
)

// mayNop tells for [arch.Inst.MayNop] what is worth a closer look, by the opcode and by whether ModRM names a register.
func (m *opmap) mayNop(op byte, register bool) bool {
	if m == map1 {
		k := nopKinds[op]
		return k == nopAny || k == nopRegister && register
	}
	return m == map0F && op == 0x1f
}

// mayBeNop tells by the opcode, and for moves by the registers, what is worth a closer look.
func mayBeNop(code []byte) bool {
	i := 0
	for i+1 < len(code) && isPrefix(code[i]) {
		i++
	}
	switch code[i] {
	case 0x90:
		return true
	case 0x0f:
		return i+1 < len(code) && code[i+1] == 0x1f
	case 0x87, 0x89, 0x8b, 0x8d:
		// 64-bit, and both registers of one number; with a SIB byte (4), that says which.
		return i+1 < len(code) && i > 0 && code[i-1]&0xf8 == 0x48 && (code[i+1]>>3&7 == code[i+1]&7 || code[i+1]&7 == 4)
	}
	return false
}

// generalNop is IsNop for all instructions.
func generalNop(code []byte, in *arch.Inst) bool {
	var e encoding
	if e.decode(code) != nil || e.n != in.Len || e.lock || e.vector.kind != vectorNone {
		return false
	}
	switch {
	case e.m == map1 && e.op == 0x90:
		return e.rex&1 == 0 && e.rep == 0
	case e.m == map0F && e.op == 0x1f:
		return e.reg() == 0
	case e.m != map1 || e.rex&8 == 0 || e.rep != 0:
		return false
	}
	switch e.op {
	case 0x87, 0x89, 0x8b: // xchg, mov
		return e.mod() == 3 && e.reg() == e.rm() && e.rex>>2&1 == e.rex&1
	case 0x8d:
		return !e.addr32 && e.leaOfItself(code)
	}
	return false
}

// leaOfItself reports whether a lea computes its own target: 0(%r),%r.
func (e *encoding) leaOfItself(code []byte) bool {
	base := e.rm()
	if base == 4 {
		if e.sib>>3&7 != 4 || e.extendsIndex() {
			return false // has an index
		}
		base = e.sib & 7
	}
	if base != e.reg() || e.rex>>2&1 != e.rex&1 || e.rip || e.absolute {
		return false
	}
	for _, b := range code[e.dispOff:][:e.dispSize] {
		if b != 0 {
			return false
		}
	}
	return true
}

// isPadding reports whether b holds nothing but nops, int3 and zero bytes.
func isPadding(b []byte) bool {
	for len(b) > 0 {
		if b[0] == 0 || b[0] == 0xcc {
			b = b[1:]
			continue
		}
		in, err := Decode(b)
		if err != nil || !IsNop(b, &in) {
			return false
		}
		b = b[in.Len:]
	}
	return true
}
