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
	a := d.im.Arch
	off := int(start)
	lea := d.instAt(p, start)
	next := off + lea.Len
	t := &d.transfer
	a.Transfer(t, p.code[off:next], lea)
	if t.Kind != arch.TransferAddress {
		return u
	}
	r := t.Dst
	off = next
	for n := 0; n < useWindow && off < len(p.code); n++ {
		if s := p.state[off]; s != byteStart && s != byteUnseen {
			return u
		}
		in := d.instAt(p, uint32(off))
		if (in.Flow == arch.FlowCall || in.Flow == arch.FlowCallInd) && !calleeSaved(a, r) {
			return u
		}
		a.Transfer(t, p.code[off:off+in.Len], in)
		u.add(t, r)
		if up, ok := step(t, r); t.Writes.Has(r) && !(ok && up > 0) {
			return u
		}
		off += in.Len
	}
	return u
}

// add notes how one instruction uses register r.
func (u *pointerUse) add(t *arch.Transfer, r arch.Reg) {
	if (t.Mem.Base == r || t.Mem.Index == r) && !inPlace(t) && !t.Mem.Minus {
		u.based = true
		u.indexed = u.indexed || t.Mem.Index >= 0 && t.Mem.Base >= 0
	}
	if comparesRegisters(t, r) && t.Dst < 0 {
		u.compared = true
	}
}
