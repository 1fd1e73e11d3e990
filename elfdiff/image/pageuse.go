package image

import (
	"slices"

	"hotpatch/arch"
)

// maxStraight bounds the instructions between one that makes a page and the use that control comes to for certain.
const maxStraight = 64

// settle looks at the base of the operand of node n, which may be a page's address and may be something else that is not known. Where control that
// passes an instruction that makes the page comes to n for certain, n adds its displacement to that page, on whatever way it is come to: no
// compiled instruction adds it to an unfinished address now and to a value of another kind then. Ways on which the register seems to have
// another value lead through code behind a call that does not return, of which only the compiler knew that.
func (f *flow) settle(n int32) {
	m := &f.t.Mem
	if !f.t.HasMem || m.Base < 0 || m.Index >= 0 {
		return
	}
	v := &f.s.regs[m.Base]
	if v.kind != valueUnknown || v.from == 0 {
		return
	}
	makers := f.sets.sets[v.from]
	page := f.makers[makers[0]]
	for _, k := range makers {
		if made := f.makers[k]; made.kind != valuePage || made.at != page.at {
			return
		}
	}
	if slices.ContainsFunc(makers, func(k int32) bool { return f.goesTo(k, n, m.Base) }) {
		*v = value{kind: valuePage, at: page.at, from: v.from}
	}
}

// goesTo reports whether control that passes node k, which gives register r a value, comes to node n for certain, with that value in r.
func (f *flow) goesTo(k, n int32, r arch.Reg) bool {
	for first := range maxStraight {
		part := f.partOf(k)
		p, off := &f.d.parts[part], f.offs[k]
		in := f.d.instAt(p, off)
		t := &f.does[k]
		if changes := t.Writes.Has(r) || t.WriteBack && t.Mem.Base == r; changes != (first == 0) {
			return false
		}
		switch in.Flow {
		case arch.FlowNext:
			if k+1 == f.first[part+1] || f.offs[k+1] != off+uint32(in.Len) {
				return false
			}
			k++
		case arch.FlowJump:
			to, _, ok := f.d.locate(f.d.atoms[part].Addr + arch.ImageAddr(off) + arch.ImageAddr(in.Target))
			if !ok {
				return false
			}
			if k = f.nodeAt(to); k < 0 {
				return false
			}
		default:
			return false
		}
		if k == n {
			return true
		}
	}
	return false
}
