package elfdiff

import (
	"encoding/binary"
	"sort"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// exceptions adds the exception tables of all parts to the canonical form: what a function catches stands there, not in
// its code, so that catch (A &) and catch (B &) can be the same instructions. Regions and landing pads count as
// instructions, actions as they are, types as references.
func (c *canonicalizer) exceptions(u *unit) error {
	for _, p := range u.parts {
		for addr := p.Addr; addr < p.End(); {
			fde := u.im.CFI.Find(addr)
			if fde == nil || fde.End <= addr {
				break
			}
			addr = fde.End
			table, err := u.im.Exceptions(fde)
			if err != nil {
				return err
			}
			if table != nil {
				c.exceptionTable(table, u.count)
			}
		}
	}
	return nil
}

// exceptionTable adds one table of a function with n instructions.
func (c *canonicalizer) exceptionTable(t *image.Exceptions, n int) {
	put := func(values ...uint64) {
		for _, v := range values {
			c.shape = binary.LittleEndian.AppendUint64(c.shape, v)
		}
	}
	at := func(a arch.ImageAddr) uint64 { return uint64(canonicalAt(c.index, a, n)) }
	put('X', uint64(t.TypeEncoding), uint64(len(t.Sites)))
	for i := range t.Sites {
		s := &t.Sites[i]
		pad := ^uint64(0)
		if s.Pad != 0 {
			pad = at(s.Pad)
		}
		put(at(s.Start), at(s.End), s.Action, pad)
	}
	for i := range t.Actions {
		a := &t.Actions[i]
		put('A', a.Off, uint64(a.Filter), uint64(a.Next), uint64(len(a.Types)))
		for j := range a.Types {
			p := &a.Types[j]
			put(uint64(min(p.Kind, image.PlaceAtom))) // whether it is a type at all
			if p.Kind != image.PlaceNone {
				c.operands = append(c.operands, operand{kind: image.RefAddr, place: p})
			}
		}
	}
}

// canonicalAt returns the canonical index of the first instruction at or behind an address.
func canonicalAt(index []partIndex, addr arch.ImageAddr, n int) int {
	for p := range index {
		x := &index[p]
		if addr < x.body.Atom.Addr || addr > x.body.Atom.End() {
			continue
		}
		insts := x.body.Insts
		i := sort.Search(len(insts), func(i int) bool { return x.body.Atom.Addr+arch.ImageAddr(insts[i].Off) >= addr })
		if i < len(insts) {
			return int(x.canon[i])
		}
		if p+1 < len(index) && len(index[p+1].canon) > 0 {
			return int(index[p+1].canon[0])
		}
	}
	return n
}
