package elfdiff

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// A function may refer to an object with a new place by nothing but a base outside of it, from which an index that never is zero leads there, or by
// nothing but its end. Such a function need not differ, and would go on using the old place in silence.

// besideKind says how an operand may mean an object that it does not lead to.
type besideKind uint8

const (
	besideNot   besideKind = iota
	besideMaybe            // it may mean other things as well
	besideOnly             // nothing else is there that it could mean
)

// readersBeside lists the functions that refer to an object with a new place by an address beside it, and says in words of which functions that can
// not be told.
func (d *differ) readersBeside(o *objChange) (readers []*unit, doubtful []string) {
	if !isNeighbour(o.old) || !isNeighbour(o.new) || image.IsUnwalked(o.new.Name) || !d.new.walked(o.new) {
		return nil, nil
	}
	for _, v := range d.new.units {
		u := d.old.unitOf(d.rev.of(v.atom()))
		if u == nil || u.err != nil || v.err != nil || len(u.refs) != len(v.refs) {
			continue // it differs, and is weighed when it is carried
		}
		for i := range v.refs {
			kind := d.besideMoved(u, v, i, o)
			if kind == besideOnly {
				readers = append(readers, v)
			}
			if kind == besideMaybe || kind == besideOnly && v.keeps(i) {
				addr := v.addr(&v.refs[i])
				doubtful = append(doubtful, fmt.Sprintf("%s, by the address %#x, %d bytes from its start", v.name(), uint64(addr), int64(addr-o.new.Addr)))
			}
			if kind != besideNot {
				break
			}
		}
	}
	return readers, doubtful
}

// keeps reports whether a function may keep an address that it takes, so that it would go on using it once it is replaced.
func (u *unit) keeps(i int) bool {
	x := u.operand(i)
	flow := u.im.PointerFlow(x.body, x.ref)
	return flow.Escapes || flow.Returns
}

// besideMoved tells whether corresponding operands of two bodies may mean an object with a new place: they are as far from it in both builds, or
// where it ends in both.
func (d *differ) besideMoved(u, v *unit, i int, o *objChange) besideKind {
	r, s := &u.refs[i], &v.refs[i]
	const settled = refProven | refViaSlot
	old, new := u.addr(r), v.addr(s)
	base, end := old-o.old.Addr == new-o.new.Addr, old == o.old.End() && new == o.new.End()
	if s.kind != image.RefAddr && s.kind != image.RefImm || (r.flags|s.flags)&settled != 0 || !base && !end ||
		!within(o.new, new, reach) || v.mayMean(s, o.new) {
		return besideNot
	}
	p := v.place(s)
	unknown := s.to == image.PlaceUnknown || s.to == image.PlaceLinker && !v.im.HasRelocs && p.Linker != image.OwnEnd
	if !mayLieBeside(s.to, p.Atom, p.Number) && !unknown || !v.mayName(o.new) {
		return besideNot
	}
	x := v.operand(i)
	if x == nil || !v.im.NamesStatic(v.atom(), o.new) {
		return besideNot
	}
	use := v.im.AddressUse(x.body, x.ref)
	for _, off := range append(handedInBoth(u, v, i, &use), use.Accessed...) {
		switch cover := v.im.Covering(new + arch.ImageAddr(off)); {
		case slices.Contains(cover, o.new):
			return besideOnly
		case len(cover) == 1 && isNeighbour(cover[0]):
			return besideNot
		}
	}
	if end {
		return besideMaybe
	}
	return d.besideBase(v, &p, old, use.Plain, o)
}

// handedInBoth returns the distances from what corresponding operands of two equal bodies take at which functions access memory in both builds that
// the bodies hand the address to; use is that of the new body's.
func handedInBoth(u, v *unit, i int, use *image.AddressUse) []int64 {
	at := use.Handed()
	if len(at) == 0 {
		return nil
	}
	x := u.operand(i)
	if x == nil {
		return nil
	}
	old := u.im.AddressUse(x.body, x.ref)
	before := old.Handed()
	return slices.DeleteFunc(at, func(off int64) bool { return !slices.Contains(before, off) })
}

// besideBase tells whether an address that is as far from an object with a new place in both builds may be a base from which an index leads there.
func (d *differ) besideBase(v *unit, p *image.Place, old arch.ImageAddr, plain bool, o *objChange) besideKind {
	new := p.Addr
	kept := v.beside(new, reachOf(v.im, p, plain))
	if !slices.Contains(kept, o.new) || p.Kind == image.PlaceAnon && d.old.telling(old) && d.new.telling(new) {
		return besideNot
	}
	kept = slices.DeleteFunc(kept, func(a *image.Atom) bool {
		was := d.rev.of(a)
		return was == nil || old-was.Addr != new-a.Addr || !within(a, new, 0) && !d.new.walked(a)
	})
	switch near := nearest(new, kept); {
	case len(kept) == 1 || len(near) == 1 && near[0] == o.new:
		return besideOnly
	case slices.ContainsFunc(kept, func(a *image.Atom) bool { return a.Addr == new && d.new.walked(a) }), // an array that begins there is meant itself
		len(near) == 1 && near[0].Addr > new:
		return besideNot
	}
	return besideMaybe
}

// within reports whether an address lies in an object, at its end, or no more than so many bytes outside of it.
func within(a *image.Atom, addr arch.ImageAddr, distance uint64) bool {
	return addr+arch.ImageAddr(distance) >= a.Addr && addr <= a.End()+arch.ImageAddr(distance)
}

// askBeside asks for the word that no function means an object with a new place by an address beside it.
func (o *objChange) askBeside(id string) {
	if len(o.beside) > 0 {
		o.needAck(id, "it gets a new place, and functions that go on using the old one if they mean it, which cannot be told, take an address beside it or "+
			"its end: %s", some(o.beside, maxHeld))
	}
}
