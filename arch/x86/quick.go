package x86

import (
	"encoding/binary"

	"hotpatch/arch"
)

// Nine in ten instructions of compiled code have no prefix but REX and an opcode of the one-byte map or of 0F. quick decodes those in a
// third of the time that the general decoder takes. It is driven by the same tables and gives the same answers, which a test holds.

// quickMap finds the form of an opcode that has no legacy prefix: by opcode, and by ModRM.reg, plus 8 where ModRM names a register.
// It holds one more than the index in opmap.forms; 0 stands for what is left to the general decoder: opcodes of which more than that
// decides, and those that are unknown.
type quickMap struct {
	m     *opmap
	forms [256][16]uint16
}

var quickOne, quick0F = quicken(map1), quicken(map0F)

// quicken finds the opcodes of a map that can be decoded without more ado.
func quicken(m *opmap) *quickMap {
	q := &quickMap{m: m}
	for op := range m.ops {
		if s := &m.ops[op]; m != map1 || !isPrefix(byte(op)) {
			for k := range q.forms[op] {
				q.forms[op][k] = m.quickForm(s, k)
			}
		}
	}
	return q
}

// quickForm returns one more than the index of the form that describes an opcode, or 0.
func (m *opmap) quickForm(s *span, k int) uint16 {
	for i := s.first; i < s.first+uint16(s.n); i++ {
		f := &m.forms[i]
		if f.pps&1 == 0 || f.ls&1 == 0 { // another prefix, a vector
			continue
		}
		if s.modRM {
			mask := f.mem
			if k >= 8 {
				mask = f.reg
			}
			if mask>>(k&7)&1 == 0 {
				continue
			}
		}
		if f.ws&3 != 3 || s.modRM && k >= 8 && f.rm != 0xff || f.flags&(fSIB|f3DNow) != 0 {
			return 0
		}
		return i + 1
	}
	return 0
}

// quickLen is how many bytes quick may look at: more than any encoding that it knows has.
const quickLen = 16

// quick decodes the first instruction of code into in, which is zero. It is false if that is left to the general decoder; in is
// then still zero.
func quick(code []byte, in *arch.Inst) bool {
	if len(code) < quickLen {
		return false
	}
	c := (*[quickLen]byte)(code)
	q, op, rex, n := quickOne, c[0], byte(0), 1
	if op&0xf0 == 0x40 {
		rex, op, n = op, c[1], 2
	}
	if op == 0x0f {
		q, op, n = quick0F, c[n], n+1
	}
	kind, modrm := 0, byte(0)
	if q.m.ops[op].modRM {
		modrm = c[n&15]
		n++
		if kind = int(modrm >> 3 & 7); modrm >= 0xc0 {
			kind += 8
		}
	}
	k := q.forms[op][kind]
	if k == 0 {
		return false
	}
	f := &q.m.forms[k-1]
	if q.m.ops[op].modRM && kind < 8 {
		n = quickMemory(c, n, modrm, rex, f, in)
	}
	if f.imm != immNone {
		n = quickImmediate(c, n, rex, f, in)
	}
	if in.NumOps > 0 && in.Ops[0].Kind == arch.OpPC {
		in.Ops[0].Value += int64(n)
	}
	in.Len, in.Flow, in.MayNop = n, f.flow, q.m.mayNop(op, kind >= 8)
	return true
}

// quickMemory reads the operand in memory that a ModRM byte names, from SIB or displacement at n, and returns the offset behind it.
// A displacement relative to the instruction's end is left so.
func quickMemory(c *[quickLen]byte, n int, modrm, rex byte, f *form, in *arch.Inst) int {
	base, noIndex, sib := modrm&7, true, false
	if base == 4 {
		base, noIndex, sib = c[n&15]&7, c[n&15]>>3&7 == 4 && rex&2 == 0, true
		n++
	}
	kind := arch.OpDisp
	switch modrm >> 6 {
	case 0:
		switch {
		case base != 5:
			return n
		case !sib:
			kind = arch.OpPC
		case noIndex:
			kind = arch.OpAbs
		}
	case 1:
		return n + 1
	}
	w := f.width
	width := uint8(w)
	if w > maxFixedWidth {
		width = w.bytes(quickSize(rex), rex>>3&1, 0)
	}
	in.Ops[0] = arch.Operand{Kind: kind, Off: uint8(n), Size: 4, Width: width, Addr: f.flags&fAddr != 0,
		Write: f.flags&fWrite != 0, Value: disp32(c[n&15:])}
	in.NumOps = 1
	return n + 4
}

// quickSize returns the operand size in bytes of an instruction without legacy prefixes.
func quickSize(rex byte) int {
	if rex&8 != 0 {
		return 8
	}
	return 4
}

// quickImmediate reads what follows the operands at n, and returns the offset behind it.
func quickImmediate(c *[quickLen]byte, n int, rex byte, f *form, in *arch.Inst) int {
	field := c[n&15:]
	switch f.imm {
	case imm1:
		return n + 1
	case imm2:
		return n + 2
	case imm3:
		return n + 3
	case immRel1:
		in.Target, in.BrOff, in.BrSize = int64(n+1)+int64(int8(field[0])), uint8(n), 1
		return n + 1
	case immRel4:
		in.Target, in.BrOff, in.BrSize = int64(n+4)+disp32(field), uint8(n), 4
		return n + 4
	}
	op := arch.Operand{Kind: arch.OpImm, Off: uint8(n), Size: 4}
	switch {
	case f.imm == immMoffs:
		op.Kind, op.Size, op.Width, op.Write = arch.OpAbs, 8, uint8(f.width), f.flags&fWrite != 0
		if f.width > maxFixedWidth {
			op.Width = f.width.bytes(quickSize(rex), rex>>3&1, 0)
		}
	case f.imm == immV && rex&8 != 0:
		op.Size = 8
	}
	op.Arith = f.imm != immMoffs && f.flags&fArith != 0
	if op.Size == 8 {
		op.Value = int64(binary.LittleEndian.Uint64(field))
	} else {
		op.Value = disp32(field)
	}
	in.Ops[in.NumOps] = op
	in.NumOps++
	return n + int(op.Size)
}
