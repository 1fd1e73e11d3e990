package elfdiff

import "hotpatch/elfdiff/image"

// ballot collects which atoms stand at the same places of what is paired already.
type ballot struct {
	d     *differ
	by    names // what two atoms must agree in
	votes map[*image.Atom]*image.Atom
	spoil map[*image.Atom]bool // for more than one
	refs  [2][]image.DataRef   // of two objects; used again for the next
}

// pairByPosition pairs atoms that stand at the same place in functions and data that are
// paired already and have the same shape. A contradiction leaves the atoms unpaired.
func (d *differ) pairByPosition(by names) {
	b := &ballot{d: d, by: by, votes: make(map[*image.Atom]*image.Atom), spoil: make(map[*image.Atom]bool)}
	for _, u := range d.old.units {
		v := d.new.unitOf(d.fwd.of(u.atom()))
		if v == nil || u.err != nil || v.err != nil || u.shape != v.shape || len(u.refs) != len(v.refs) {
			continue
		}
		for i := range u.refs {
			b.vote(u.place(&u.refs[i]), v.place(&v.refs[i]))
		}
	}
	if b.wanted() {
		for _, a := range d.old.im.Atoms {
			if c := classOf(a); c == classObject || c == classTLS {
				b.data(a, d.fwd.of(a))
			}
		}
	}
	b.count()
}

// vote says that two places stand for each other. Two fields that could hold plain numbers, and are addresses of namesakes, are addresses.
func (b *ballot) vote(p, q image.Place) {
	x, y := p.Atom, q.Atom
	if p.Number && q.Number {
		p.Number, q.Number = false, false
	}
	if p.Kind != q.Kind || p.Addend != q.Addend || p.Ambiguous() || q.Ambiguous() ||
		x == nil || y == nil || b.d.fwd.of(x) != nil || b.d.rev.of(y) != nil {
		return
	}
	have, ok := b.votes[x]
	switch {
	case ok && have == y:
	case !sameGroup(x, y, b.by):
	case ok:
		b.spoil[x] = true
	default:
		b.votes[x] = y
	}
}

// wanted reports whether both builds have data without a partner, for which the addresses that data holds may speak.
func (b *ballot) wanted() bool {
	lonely := func(atoms []*image.Atom, m *matches) bool {
		for _, a := range atoms {
			if classOf(a) == classObject && m.of(a) == nil {
				return true
			}
		}
		return false
	}
	return lonely(b.d.old.im.Atoms, &b.d.fwd) && lonely(b.d.new.im.Atoms, &b.d.rev)
}

// data votes by the addresses that two paired objects hold at the same offsets.
func (b *ballot) data(x, y *image.Atom) {
	if y == nil || x.Size != y.Size {
		return
	}
	b.refs[0], b.refs[1] = b.d.old.appendDataRefs(b.refs[0][:0], x), b.d.new.appendDataRefs(b.refs[1][:0], y)
	p, q := likelyAddresses(b.refs[0], b.refs[1])
	if len(p) != len(q) {
		return
	}
	for i := range p {
		if p[i].Off == q[i].Off {
			b.vote(p[i].Place, q[i].Place)
		}
	}
}

// count pairs the atoms whose votes agree.
func (b *ballot) count() {
	taken := make(map[*image.Atom]int)
	for x, y := range b.votes {
		if !b.spoil[x] {
			taken[y]++
		}
	}
	for x, y := range b.votes {
		if !b.spoil[x] && taken[y] == 1 {
			b.d.link(x, y)
		}
	}
}
