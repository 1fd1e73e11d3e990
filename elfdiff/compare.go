package elfdiff

import (
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// funcChange is a function that differs, or that only one build has.
type funcChange struct {
	old, new *unit // one of them may be nil
	how      patch.How
	line     bool       // differs in nothing but line numbers
	moved    *objChange // an object that it refers to and that gets a new place, so that it is carried whatever it differs in
	closure  bool       // does not differ itself
	lives    bool       // only the old build has it, and it stays reachable
	sameCall bool       // debug information shows that both are called in the same way
	out      string     // the word for it, if the user leaves it out of the patch: see leaveOut
	entry
	verdict
}

// carried reports whether the new body goes into the patch.
func (c *funcChange) carried(opt *Options) bool {
	return c.new != nil && c.out == "" && (!c.line || opt.Lines || c.moved != nil)
}

// compare finds every function and object that differs.
func (d *differ) compare() {
	d.byNew = make(map[*unit]*funcChange)
	d.objNew = make(map[*image.Atom]*objChange)
	d.shiftsOld, d.shiftsNew = newShifts(d.old.im, d.fwd.of), newShifts(d.new.im, d.rev.of)
	d.compareObjects()
	pairs := make([]struct {
		u, v      *unit
		equal     bool
		exchanged *exchange
	}, 0, len(d.old.units))
	for _, u := range d.old.units {
		v := d.new.unitOf(d.fwd.of(u.atom()))
		if v == nil {
			d.funcs = append(d.funcs, &funcChange{old: u, how: patch.Removed})
			continue
		}
		pairs = append(pairs, struct {
			u, v      *unit
			equal     bool
			exchanged *exchange
		}{u: u, v: v})
	}
	identical := d.identical()
	parallel(len(pairs), func() func(i int) {
		return func(i int) {
			p := &pairs[i]
			if p.equal = identical || d.unitsEqual(p.u, p.v); p.equal && !identical && p.u.err == nil {
				if p.exchanged = d.exchanged(p.u, p.v); p.exchanged == nil {
					p.exchanged = d.anchored(p.u, p.v)
				}
			}
		}
	})
	unclaimed := d.compareUnclaimed()
	for _, p := range pairs {
		c := &funcChange{old: p.u, new: p.v, how: patch.Changed}
		switch {
		case !p.equal:
		case p.exchanged != nil:
			c.exchanged(p.exchanged)
		case unclaimed[p.u] || unclaimed[p.v]:
			c.because(patch.ReasonData, nil, "data behind one of its constants without a name")
		default:
			d.equal++
			continue
		}
		d.addChange(c)
	}
	for _, v := range d.new.units {
		if d.rev.of(v.atom()) == nil {
			d.addChange(&funcChange{new: v, how: patch.Added})
		}
	}
	d.closeOverObjects()
}

// exchanged says that the function has an operand of which nothing shows that it was not edited.
func (c *funcChange) exchanged(x *exchange) {
	c.because(patch.ReasonReference, nil, "an address that may be meant for %s where the old build has %s", x.new.Name, x.old.Name)
}

func (d *differ) addChange(c *funcChange) {
	d.funcs = append(d.funcs, c)
	d.byNew[c.new] = c
}

// unitsEqual reports whether two paired functions have the same canonical form.
func (d *differ) unitsEqual(u, v *unit) bool {
	if u.err != nil || v.err != nil {
		return d.sameBytes(u, v)
	}
	if u.shape != v.shape || len(u.refs) != len(v.refs) {
		return false
	}
	for i := range u.refs {
		if !d.referencesEqual(u, v, &u.refs[i], &v.refs[i]) {
			return false
		}
	}
	return d.tablesEqual(u, v)
}

// tablesEqual compares what the shape leaves out of the jump tables of two units of equal shape: where the extent of one is not proven, all
// that could follow its entries.
func (d *differ) tablesEqual(u, v *unit) bool {
	old, new := u.tables, v.tables
	if len(old) != len(new) {
		return false
	}
	same := func(x, y arch.ImageAddr) bool {
		a, b := d.old.im.AtomAt(x), d.new.im.AtomAt(y)
		return a != nil && b != nil && x-a.Addr == y-b.Addr && d.atomsEqual(a, b)
	}
	for i := range old {
		a, b := &old[i], &new[i]
		if (a.bounded || d.old.tableEnds(a.addr, a.size)) && (b.bounded || d.new.tableEnds(b.addr, b.size)) {
			continue
		}
		if len(a.further) == image.MaxFurther || !slices.EqualFunc(a.further, b.further, same) {
			return false
		}
	}
	return true
}

// referencesEqual reports whether a reference of u and one of v mean the same thing.
func (d *differ) referencesEqual(u, v *unit, r, s *reference) bool {
	p, q := u.place(r), v.place(s)
	if r.kind == image.RefPage || s.kind == image.RefPage { // what adds to it is not all understood
		return r.kind == s.kind && p.Addr == q.Addr && d.samePage(p.Addr&^(pageLen-1))
	}
	return d.placesEqual(&p, &q, useOf(r.kind, r.width, s.width)) || d.copiesEqual(u, v, &p, &q)
}

// useOf says how the operands of one kind use their places, of which they access so many bytes.
func useOf(kind image.RefKind, old, new uint8) use {
	how := use{width: int(old), address: kind == image.RefAddr || kind == image.RefImm}
	if old != new {
		how.width = 0
	}
	return how
}

// use says how a place is used: which of its bytes matter.
type use struct {
	width   int  // bytes that are read; 0: not known
	address bool // the address is taken
	depth   int  // of constants whose addresses were followed
}

// placesEqual reports whether a place of the old build and one of the new mean the same thing.
func (d *differ) placesEqual(p, q *image.Place, how use) bool {
	if fixedNumber(p) && fixedNumber(q) {
		return d.numbersEqual(p, q, how)
	}
	if p.Both || q.Both {
		return p.Both && q.Both && d.bothEqual(p, q)
	}
	if p.Ambiguous() || q.Ambiguous() {
		if p.Number && q.Number && p.Addr == q.Addr && (insideCode(p) || insideCode(q)) {
			return true
		}
		if p.Kind == image.PlaceLinker && q.Kind == image.PlaceLinker && p.Linker == q.Linker && p.Addend == q.Addend &&
			(strings.HasPrefix(p.Linker, "__st") || !endsThere(p) && !endsThere(q) || d.candidatesMeet(p, q)) { // __start_ and __stop_ are meant themselves
			return true
		}
		if p.Kind == image.PlaceImport && q.Kind == image.PlaceImport {
			return p.Addend == q.Addend && importsEqual(p.Import, q.Import) // two numbers that are the addresses of one function's stubs
		}
		if p.Kind == image.PlaceTLS && q.Kind == image.PlaceTLS {
			return d.tlsEqual(p, q) || p.Number && q.Number && d.sameOddOffset(p, q)
		}
		return d.candidatesMeet(p, q) || p.Kind == image.PlaceAnon && q.Kind == image.PlaceAnon && d.anonEqual(p.Addr, q.Addr, how)
	}
	if p.Kind != q.Kind {
		return d.importMeetsAtom(p, q)
	}
	switch p.Kind {
	case image.PlaceAtom:
		return p.Addend == q.Addend && d.atomsEqual(p.Atom, q.Atom) && !inCode(p) || inCode(p) && inCode(q) && d.labelsEqual(p, q) ||
			d.emptiesEqual(p, q)
	case image.PlaceTLS:
		return d.tlsEqual(p, q)
	case image.PlaceImport:
		return p.Addend == q.Addend && importsEqual(p.Import, q.Import)
	case image.PlaceAnon:
		return d.anonEqual(p.Addr, q.Addr, how)
	case image.PlaceLinker:
		return p.Linker == q.Linker && p.Addend == q.Addend
	case image.PlaceUnknown:
		return p.Addr == q.Addr && (d.nothingMoved(p.Addr, how.depth) || d.nowhere(p.Addr)) || d.nameless(p.Addr, q.Addr, how)
	}
	return true
}

// endsThere reports whether a place is the end of an object, by one of its readings.
func endsThere(p *image.Place) bool {
	return slices.ContainsFunc(p.Candidates, func(a *image.Atom) bool { return a.End() == p.Addr })
}

// insideCode reports whether a place is in a function and not its entry. A number of the same value in both builds is then no
// address: one that leads to other code in one build than in the other, and to the middle of it, has no use.
func insideCode(p *image.Place) bool {
	return p.Kind == image.PlaceAtom && p.Atom.IsCode() && p.Addend != 0
}

// tlsEqual reports whether two thread-local places are the same variable's.
func (d *differ) tlsEqual(p, q *image.Place) bool {
	if p.Import != nil || q.Import != nil {
		return p.Import != nil && q.Import != nil && importsEqual(p.Import, q.Import)
	}
	if p.Atom == nil && q.Atom == nil {
		return p.ViaSlot && q.ViaSlot // the module itself: what is accessed in its block is told elsewhere
	}
	return p.Addend == q.Addend && p.Atom != nil && d.fwd.of(p.Atom) == q.Atom
}

// sameOddOffset reports whether two numbers that could be offsets from the thread pointer are the same one, and lead to no place
// that is aligned as what is read is: -1, or the negative of an error number.
func (d *differ) sameOddOffset(p, q *image.Place) bool {
	const alignment = 4
	return p.Atom != nil && q.Atom != nil && (p.Addend%alignment != 0 || q.Addend%alignment != 0) &&
		threadOffset(d.old.im, p.Atom)+p.Addend == threadOffset(d.new.im, q.Atom)+q.Addend
}

// atomsEqual reports whether two atoms are the same thing: paired, or read-only constants of one name and content
// that the funnel could not tell from their copies.
func (d *differ) atomsEqual(a, b *image.Atom) bool {
	if d.fwd.of(a) == b {
		return true
	}
	if a.Kind == image.Code && b.Kind == image.Code {
		return a.Name == b.Name // the start files' and the linker's are the same everywhere
	}
	return d.fwd.of(a) == nil && d.rev.of(b) == nil && readOnly(a) && readOnly(b) && a.Local && b.Local &&
		sameGroup(a, b, namesWithoutFile) && d.objectContentEqual(a, b)
}

func importsEqual(a, b *image.Import) bool {
	return a.Name == b.Name && a.Version == b.Version
}

// importMeetsAtom handles a symbol that one build reaches through the dynamic linker
// and the other directly, although both define it themselves.
func (d *differ) importMeetsAtom(p, q *image.Place) bool {
	if p.Kind == image.PlaceImport && p.Import.Local != nil && q.Kind == image.PlaceAtom {
		return d.fwd.of(p.Import.Local) == q.Atom && q.Addend == p.Addend
	}
	if q.Kind == image.PlaceImport && q.Import.Local != nil && p.Kind == image.PlaceAtom {
		return d.fwd.of(p.Atom) == q.Import.Local && q.Addend == p.Addend
	}
	return false
}

// candidatesMeet reports whether two ambiguous places have a reading in common.
func (d *differ) candidatesMeet(p, q *image.Place) bool {
	for _, a := range readings(p) {
		for _, b := range readings(q) {
			if b != nil && (d.fwd.of(a) == b || d.atomsEqual(a, b)) && p.Addr-a.Addr == q.Addr-b.Addr {
				return true
			}
		}
	}
	return false
}

// bothEqual reports whether two accesses to two objects each are to the same ones.
func (d *differ) bothEqual(p, q *image.Place) bool {
	return slices.EqualFunc(p.Candidates, q.Candidates, func(a, b *image.Atom) bool {
		return d.atomsEqual(a, b) && p.Addr-a.Addr == q.Addr-b.Addr
	})
}

func readings(p *image.Place) []*image.Atom {
	if len(p.Candidates) == 0 && p.Atom != nil {
		return []*image.Atom{p.Atom}
	}
	return p.Candidates
}

// nothingMoved reports whether the surroundings of an address are the same in both builds, so that
// an address that cannot be told still means the same.
func (d *differ) nothingMoved(addr arch.ImageAddr, depth int) bool {
	a, b := d.old.im.SectionAt(addr), d.new.im.SectionAt(addr)
	if a == nil || b == nil || a.Name != b.Name || a.Addr != b.Addr || a.Size != b.Size || depth > maxDepth {
		return false
	}
	return d.contentEqual(anonAtom(d.old.im, a.Addr, a.Size), anonAtom(d.new.im, b.Addr, b.Size), depth+1)
}

// nowhere reports whether an address lies in no section of either build: it is a number.
func (d *differ) nowhere(addr arch.ImageAddr) bool {
	return d.old.im.SectionAt(addr) == nil && d.new.im.SectionAt(addr) == nil
}

// nameless reports whether two addresses lie in data without symbols of equal content: compilers
// put the initial values of local arrays there, in a writable section if they hold addresses. It is good enough to say that
// a function did not change, but not to carry one: what is writable could be a variable.
func (d *differ) nameless(p, q arch.ImageAddr, how use) bool {
	a, b := d.old.im.SectionAt(p), d.new.im.SectionAt(q)
	return a != nil && b != nil && a.Name == b.Name && !a.Exec() && !b.Exec() && a.Data != nil && b.Data != nil &&
		d.old.im.AtomAt(p) == nil && d.new.im.AtomAt(q) == nil && d.anonEqual(p, q, use{address: true, depth: how.depth})
}
