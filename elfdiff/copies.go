package elfdiff

import "hotpatch/elfdiff/image"

// Of a function that several source files define (inline functions and templates: COMDAT), the linker keeps one file's copy, the first of the
// link. Where it refers to something static of a header, it is that file's.

// copiesEqual reports whether two places of such functions are copies of one static constant or function, of equal content: the first file's
// in one build, another one's in the other. Either serves: the program has no say in which it is, so that none of it can rely on the address.
func (d *differ) copiesEqual(u, v *unit, p, q *image.Place) bool {
	if !u.atom().Weak || !v.atom().Weak || p.Kind != image.PlaceAtom || q.Kind != image.PlaceAtom || p.Addend != q.Addend ||
		p.Ambiguous() || q.Ambiguous() {
		return false
	}
	a, b := p.Atom, q.Atom
	if !a.Local || !b.Local || classOf(a) != classOf(b) || !sameGroup(a, b, namesWithoutFile) {
		return false
	}
	switch classOf(a) {
	case classObject:
		return readOnly(a) && readOnly(b) && d.objectContentEqual(a, b)
	case classFunc:
		x, y := d.old.unitOf(a), d.new.unitOf(b)
		return x != nil && y != nil && p.Addend == 0 && d.unitsEqual(x, y)
	}
	return false
}
