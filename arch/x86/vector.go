package x86

// vectorKind tells the prefixes that replace REX and the opcode escapes.
type vectorKind uint8

const (
	vectorNone vectorKind = iota
	vectorVEX
	vectorXOP
	vectorEVEX
)

// vectorPrefix holds the fields of a VEX, XOP or EVEX prefix, inverted fields
// already complemented (SDM volume 2, 2.3 and 2.7; AMD APM volume 6, 1.2).
type vectorPrefix struct {
	kind  vectorKind
	w     uint8
	pp    uint8
	l     uint8 // vector length: 128 << l bits
	vvvv  uint8 // with EVEX.V' as bit 4
	r     uint8 // what is added to ModRM.reg: 8, and with EVEX.R' 16
	x     bool  // extends the index register
	b     bool  // extends the base register, or that in ModRM.rm
	round bool  // EVEX.b: broadcast, or embedded rounding
	z     bool  // EVEX.z: zeroing
	mask  uint8 // EVEX.aaa
}

// vectorOpcode reads the rest of the prefix that begins with first, and the opcode.
func (e *encoding) vectorOpcode(code []byte, first byte) error {
	if e.rex != 0 || e.data16 || e.rep != 0 || e.lock {
		return ErrPrefix // raises #UD
	}
	size := 3 // payload and opcode
	switch first {
	case 0xc5:
		size = 2
	case 0x62:
		size = 4
	}
	if e.n+size > len(code) {
		return ErrTruncated
	}
	p := code[e.n : e.n+size]
	e.n += size
	e.op, e.opOff = p[size-1], e.n-1
	if first == 0x62 {
		return e.evex(p)
	}
	v := &e.vector
	v.kind, v.r = vectorVEX, ^p[0]>>7<<3
	last, m := p[0], byte(1)
	if first != 0xc5 {
		m = p[0] & 0x1f
		last = p[1]
		v.x = p[0]&0x40 == 0
		v.b = p[0]&0x20 == 0
		v.w = last >> 7
	}
	v.vvvv = ^last >> 3 & 0xf
	v.l = last >> 2 & 1
	v.pp = last & 3
	if first == 0x8f {
		v.kind = vectorXOP
		e.m = pick(m, 8, mapXOP8, mapXOP9, mapXOPA)
	} else {
		e.m = pick(m, 1, mapVEX1, mapVEX2, mapVEX3)
	}
	if e.m == nil {
		return ErrUnknown
	}
	return nil
}

// evex reads the payload of an EVEX prefix.
func (e *encoding) evex(p []byte) error {
	if p[0]&8 != 0 || p[1]&4 == 0 {
		return ErrAPX
	}
	e.vector = vectorPrefix{
		kind:  vectorEVEX,
		w:     p[1] >> 7,
		pp:    p[1] & 3,
		l:     p[2] >> 5 & 3,
		vvvv:  ^p[1]>>3&0xf | ^p[2]&8<<1,
		r:     ^p[0]>>7<<3 | ^p[0]&0x10,
		x:     p[0]&0x40 == 0,
		b:     p[0]&0x20 == 0,
		round: p[2]&0x10 != 0,
		z:     p[2]&0x80 != 0,
		mask:  p[2] & 7,
	}
	e.m = pick(p[0]&7, 1, mapEVEX1, mapEVEX2, mapEVEX3, nil, mapEVEX5, mapEVEX6)
	if e.m == nil {
		return ErrUnknown
	}
	return nil
}

// pick returns the map that m selects, where the first one has number from.
func pick(m, from byte, maps ...*opmap) *opmap {
	if i := int(m) - int(from); i >= 0 && i < len(maps) {
		return maps[i]
	}
	return nil
}

// check refuses field values that the form does not have; the processor
// raises #UD for them.
func (v *vectorPrefix) check(f *form, memory bool) error {
	if v.round {
		if memory && f.broadcast == 0 || !memory && f.flags&fRound == 0 {
			return ErrUnknown
		}
	}
	if f.flags&fVvvvUnused != 0 {
		unused := v.vvvv
		if f.flags&fSIB != 0 {
			unused &= 0xf // EVEX.V' extends the index
		}
		if unused != 0 {
			return ErrUnknown
		}
	}
	if f.flags&fMask != 0 && v.mask == 0 && v.kind == vectorEVEX {
		return ErrUnknown
	}
	if v.z && (v.mask == 0 || memory && f.flags&fWrite != 0) {
		return ErrUnknown
	}
	return nil
}
