package elfdiff

import (
	"sort"

	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// An address that is the end of one object and the start of another can lead to other objects in the new build and have one reading all the same that
// is in both: f(a + 4) became f(c + 8), and b, which the function does not use, lay behind a and lies behind c. Nothing tells that from an
// unchanged f(b). Such functions count as changed, and cannot be delivered. See [doubt].

// shifts are the data objects of one build, by address, in runs of which each moved as a whole from the old build to the new.
type shifts struct {
	objects []*image.Atom
	last    []int32 // by index in objects: of the last object of its run
}

// newShifts lists the objects of one build; partner returns an object's in the other build.
func newShifts(im *image.Image, partner func(*image.Atom) *image.Atom) *shifts {
	s := &shifts{}
	for _, a := range im.Atoms {
		if isNeighbour(a) {
			s.objects = append(s.objects, a)
		}
	}
	s.last = make([]int32, len(s.objects))
	for i := len(s.objects) - 1; i >= 0; i-- {
		s.last[i] = int32(i)
		if i+1 == len(s.objects) {
			continue
		}
		a, b := s.objects[i], s.objects[i+1]
		if p, q := partner(a), partner(b); p != nil && q != nil && p.Addr-a.Addr == q.Addr-b.Addr {
			s.last[i] = s.last[i+1]
		}
	}
	return s
}

// uniform reports whether the objects that touch [start, end] are of one run, and the first of them.
func (s *shifts) uniform(start, end arch.ImageAddr) (*image.Atom, bool) {
	i := sort.Search(len(s.objects), func(i int) bool { return s.objects[i].Addr >= start })
	for i > 0 && s.objects[i-1].End() >= start {
		i--
	}
	j := sort.Search(len(s.objects), func(j int) bool { return s.objects[j].Addr > end }) - 1
	if i > j {
		return nil, true
	}
	return s.objects[i], int(s.last[i]) >= j
}

// together reports whether all objects around two corresponding addresses moved as those did.
func (d *differ) together(old, new arch.ImageAddr) bool {
	return d.togetherWithin(old, new, exchangeReach)
}

// togetherWithin reports whether all objects within so many bytes of two corresponding addresses moved as those did.
func (d *differ) togetherWithin(old, new, far arch.ImageAddr) bool {
	a, ok1 := d.shiftsOld.uniform(old-min(old, far), old+far)
	b, ok2 := d.shiftsNew.uniform(new-min(new, far), new+far)
	switch {
	case !ok1 || !ok2:
		return false
	case b == nil || a == nil:
		return a == b
	}
	x, y := d.fwd.of(a), d.rev.of(b)
	return x != nil && x.Addr-a.Addr == new-old && y != nil && b.Addr-y.Addr == new-old
}

// exchange is an operand that is the same by one reading, and may mean one object in the old build and another in the new by others.
type exchange struct {
	index    int // of the reference
	old, new *image.Atom
}

// exchanged looks for such an operand of two functions that are equal otherwise; nil: there is none.
func (d *differ) exchanged(u, v *unit) *exchange {
	for i := range u.refs {
		r, s := &u.refs[i], &v.refs[i]
		const settled = refProven | refViaSlot
		if s.kind != image.RefAddr && s.kind != image.RefImm || r.flags&settled != 0 || s.flags&settled != 0 ||
			!mayLieBeside(s.to, v.atomOf(s), s.flags&refNumber != 0) ||
			d.together(u.addr(r), v.addr(s)) {
			continue
		}
		o := v.operand(i)
		if o == nil {
			continue // of an exception table
		}
		use := v.im.AddressUse(o.body, o.ref)
		if len(use.Accessed) > 0 {
			continue
		}
		distance := uint64(exchangeReach)
		if a := v.atomOf(s); use.Plain || a != nil && a.Addr == v.addr(s) || a == nil && v.im.IsText(v.addr(s)) {
			distance = 0 // that another object has its base just there in both builds is ruled out
		}
		before, after := u.beside(u.addr(r), distance), v.beside(v.addr(s), distance)
		if a, b := d.exchangedAmong(before, after, u.addr(r), v.addr(s)); a != nil && !d.accessesSame(u, v, i, handedInBoth(u, v, i, &use)) {
			return &exchange{i, a, b}
		}
	}
	return nil
}

// wordExchanged reports whether two objects, equal otherwise, hold such an address in a word.
func (d *differ) wordExchanged(a, b *image.Atom) bool {
	old, new := d.old.dataRefs(a), d.new.dataRefs(b)
	for i := range min(len(old), len(new)) {
		p, q := &old[i].Place, &new[i].Place
		if old[i].Off != new[i].Off || !mayLieBeside(p.Kind, p.Atom, p.Number) || !mayLieBeside(q.Kind, q.Atom, q.Number) || p.Proven && q.Proven ||
			d.together(p.Addr, q.Addr) {
			continue
		}
		if x, _ := d.exchangedAmong(besideData(d.old.im, a, p.Addr), besideData(d.new.im, b, q.Addr), p.Addr, q.Addr); x != nil {
			return true
		}
	}
	return false
}

// accessesSame reports whether what lies at one of the distances from an operand is one object that corresponds in both builds.
func (d *differ) accessesSame(u, v *unit, i int, distances []int64) bool {
	r, s := &u.refs[i], &v.refs[i]
	return slices.ContainsFunc(distances, func(off int64) bool {
		a, b := u.im.Covering(u.addr(r)+arch.ImageAddr(off)), v.im.Covering(v.addr(s)+arch.ImageAddr(off))
		return len(a) == 1 && len(b) == 1 && d.fwd.of(a[0]) == b[0] && u.addr(r)-a[0].Addr == v.addr(s)-b[0].Addr
	})
}

// exchangeReach is how many bytes beside an object an address may lie for which another one could have been meant in the old build.
const exchangeReach = 64

// exchangedAmong looks for two objects that an address of the old build and the corresponding one of the new may mean, none of which may be meant
// in both: at the same distance from their starts, or of which each ends there.
func (d *differ) exchangedAmong(before, after []*image.Atom, old, new arch.ImageAddr) (a, b *image.Atom) {
	for _, a := range before {
		partner := d.fwd.of(a)
		if partner != nil && old-a.Addr == new-partner.Addr {
			continue
		}
		for _, b := range after {
			x := d.rev.of(b)
			if b == partner || a.Name == b.Name || x != nil && old-x.Addr == new-b.Addr || a.Addr > old+exchangeReach || a.End()+exchangeReach < old {
				continue
			}
			ends, same := old == a.End() && new == b.End(), old-a.Addr == new-b.Addr
			inside := same && old >= a.Addr && old < a.End() && new < b.End()
			if (ends || same) && d.old.walked(a) && d.new.walked(b) || inside && !d.meantInBoth(before, after, old, new) {
				return a, b
			}
		}
	}
	return nil, nil
}

// meantInBoth reports whether one object is likely to be meant in both builds: the address lies in it, or is its end and something may walk there.
func (d *differ) meantInBoth(before, after []*image.Atom, old, new arch.ImageAddr) bool {
	return slices.ContainsFunc(before, func(a *image.Atom) bool {
		b := d.fwd.of(a)
		return b != nil && slices.Contains(after, b) && old-a.Addr == new-b.Addr && (old < a.End() && new < b.End() || d.old.walked(a) && d.new.walked(b))
	})
}

// resizedEnd returns the object among those that an address of the new build may mean that ends there in both builds and has another size; nil if there
// is none.
func (d *differ) resizedEnd(after []*image.Atom, old, new arch.ImageAddr) *image.Atom {
	for _, b := range after {
		a := d.rev.of(b)
		if a != nil && a.Size != b.Size && old == a.End() && new == b.End() && d.old.walked(a) && d.new.walked(b) {
			return b
		}
	}
	return nil
}

// operand returns an operand of the unit's code by the index of its reference; nil if it is none of the code.
func (u *unit) operand(i int) *operand {
	if all := u.operands(); i < len(all) {
		return &all[i]
	}
	return nil
}

// operands returns the operands of the unit's code and exception tables, by the index of their references; nil if it cannot be decoded.
func (u *unit) operands() []operand {
	var c canonicalizer
	if u.tokens(c.add) != nil {
		return nil
	}
	return c.operands
}
