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
	for part, p := range u.parts {
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
				c.exceptionTable(table, part, u.count)
			}
		}
	}
	return nil
}

// exceptionTable adds one table of a function with n instructions, which covers the given part. Its regions end in that part, also where
// another one of the function happens to begin there.
func (c *canonicalizer) exceptionTable(t *image.Exceptions, part, n int) {
	put := func(values ...uint64) {
		for _, v := range values {
			c.shape = binary.LittleEndian.AppendUint64(c.shape, v)
		}
	}
	in := func(a arch.ImageAddr) uint64 { return uint64(canonicalIn(c.index, part, a, n)) }
	put('X', uint64(t.TypeEncoding), uint64(len(t.Sites)))
	for i := range t.Sites {
		s := &t.Sites[i]
		pad := ^uint64(0)
		if s.Pad != 0 {
			pad = uint64(canonicalAt(c.index, s.Pad, n))
		}
		put(in(s.Start), in(s.End), s.Action, pad)
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

// canonicalAt returns the canonical index of the first instruction at or behind an address, in the part that holds it.
func canonicalAt(index []partIndex, addr arch.ImageAddr, n int) int {
	for p := range index {
		if a := index[p].body.Atom; addr >= a.Addr && addr < a.End() {
			return canonicalIn(index, p, addr, n)
		}
	}
	return n
}

// canonicalIn returns the canonical index of the first instruction of a part at or behind an address; behind the last one, of what
// follows in the order of the parts.
func canonicalIn(index []partIndex, part int, addr arch.ImageAddr, n int) int {
	x := &index[part]
	insts := x.body.Insts
	i := sort.Search(len(insts), func(i int) bool { return x.body.Atom.Addr+arch.ImageAddr(insts[i].Off) >= addr })
	if i < len(insts) {
		return int(x.canon[i])
	}
	if part+1 < len(index) && len(index[part+1].canon) > 0 {
		return int(index[part+1].canon[0])
	}
	return n
}
