package elfdiff

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// Where an architecture makes addresses in pieces, a compiler may reach several objects from one address, and by an index as well: b[i] is
// (a + i)[b - a], and only the constant says that it is b. What such a constant leads to must be as far from the address in the running process.

// displaced is an error if something that the code reaches from an address by an index and a constant is elsewhere, counted from the address, in the running
// process than in the new build. p is the address in the new build, bound what it was found to mean.
func (e *emitter) displaced(o *operandAt, p, bound *image.Place) error {
	var former []image.Displaced // of the old body
	var pairs map[int]int
	for _, x := range o.c.new.im.Displaced(o.body, o.ref) {
		apart := e.displacedTo(o, p, bound, x.Disp)
		if len(apart) == 0 {
			continue
		}
		if pairs == nil {
			former, pairs = e.formerDisplaced(o)
		}
		old, ok := pairs[x.Inst]
		i := slices.IndexFunc(former, func(y image.Displaced) bool { return y.Inst == old })
		if !ok || i < 0 || !e.own(p, bound, x.Disp) || e.reinterpreted(apart, o, p, x.Disp-former[i].Disp) {
			return fmt.Errorf("address %#x serves to reach what lies beside it: %d bytes further on, by an index, it may lead to %s, and that has "+
				"another distance from it in the running process (a section anchor)", uint64(p.Addr), x.Disp, apart[0].Name)
		}
	}
	return nil
}

// own reports whether so many bytes from an address lies what it was found to mean.
func (e *emitter) own(p, bound *image.Place, disp int64) bool {
	switch bound.Kind {
	case image.PlaceAnon:
		return disp >= 0 && uint64(disp) < e.d.new.anon(p.Addr).Size
	case image.PlaceAtom:
		x := p.Addr + arch.ImageAddr(disp)
		return x >= bound.Atom.Addr && x < bound.Atom.End()
	}
	return false
}

// displacedTo lists the objects that may be meant so many bytes from an address, and which the running process has at another distance from it.
func (e *emitter) displacedTo(o *operandAt, p, bound *image.Place, disp int64) []*image.Atom {
	x := p.Addr + arch.ImageAddr(disp)
	at, known := arch.ImageAddr(0), false
	if bound.Kind == image.PlaceAtom {
		at, known = e.running(bound.Atom)
		at += arch.ImageAddr(bound.Addend)
	}
	return slices.DeleteFunc(o.c.new.beside(x, exchangeReach), func(a *image.Atom) bool {
		to, ok := e.running(a)
		return a == bound.Atom || known && ok && to+(p.Addr-a.Addr) == at || x > a.End()
	})
}

// reinterpreted reports whether one of some objects could be meant by a constant that has changed by so much since the old build: it is as much closer to the
// address.
func (e *emitter) reinterpreted(apart []*image.Atom, o *operandAt, p *image.Place, change int64) bool {
	q := e.formerPlace(o)
	return q == nil || slices.ContainsFunc(apart, func(a *image.Atom) bool {
		old := e.d.rev.of(a)
		return old == nil || int64(p.Addr-a.Addr)-int64(q.Addr-old.Addr) == -change
	})
}

// formerDisplaced returns where the old body counts on from the operand that corresponds to one of the new body, and the indices of the old body's
// instructions by those of the new body's that correspond; nothing, if no operand corresponds.
func (e *emitter) formerDisplaced(o *operandAt) ([]image.Displaced, map[int]int) {
	pairs := make(map[int]int)
	c := o.c
	if c.old == nil || c.old.err != nil || c.new.err != nil {
		return nil, pairs
	}
	old, new := instructions(c.old), instructions(c.new)
	_, aligned := alignInstructions(old, new)
	var found []image.Displaced
	for _, pair := range aligned {
		a, b := &old[pair[0]], &new[pair[1]]
		if b.part != o.part || a.part >= len(c.old.parts) {
			continue
		}
		body, err := c.old.im.Body(c.old.parts[a.part])
		if err != nil {
			continue
		}
		pairs[o.body.InstAt(int64(b.off))] = body.InstAt(int64(a.off))
		if i := slices.Index(b.refs, o.ref); i >= 0 && i < len(a.refs) {
			found = c.old.im.Displaced(body, a.refs[i])
		}
	}
	return found, pairs
}

// anchored looks for something that two functions, equal otherwise, reach from one of their addresses by an index and a constant, and that is one thing in
// the old build and another in the new.
func (d *differ) anchored(u, v *unit) *exchange {
	for i := range v.refs {
		r, s := &u.refs[i], &v.refs[i]
		if s.kind != image.RefAddr || !mayLieBeside(s.to, v.atomOf(s), s.flags&refNumber != 0) ||
			d.togetherWithin(u.addr(r), v.addr(s), anchorReach) {
			continue
		}
		o := v.operand(i)
		if o == nil {
			continue // of an exception table
		}
		for _, x := range v.im.Displaced(o.body, o.ref) {
			old, new := u.addr(r)+arch.ImageAddr(x.Disp), v.addr(s)+arch.ImageAddr(x.Disp)
			if a, b := d.apart(u, v, old, new); b != nil && b != v.atomOf(s) {
				return &exchange{i, a, b}
			}
		}
	}
	return nil
}

// apart returns an object of each build that corresponding addresses of two equal functions lead to, and that do not correspond; nil: there are none.
func (d *differ) apart(u, v *unit, old, new arch.ImageAddr) (a, b *image.Atom) {
	if d.together(old, new) {
		return nil, nil
	}
	before, after := u.im.Covering(old), v.im.Covering(new)
	if len(before) != 1 || len(after) != 1 || !isNeighbour(before[0]) || !isNeighbour(after[0]) || d.fwd.of(before[0]) == after[0] && old-before[0].Addr == new-after[0].Addr {
		return nil, nil
	}
	return before[0], after[0]
}

// anchorReach is how many bytes from an address the compilers reach other things at most: what an instruction has room for, in units of 8 bytes.
const anchorReach = 1 << 15
