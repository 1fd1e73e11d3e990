package elfdiff

import (
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// settleBounds looks again at addresses that are the end of one object and the start of something else, where the
// code uses them as an end. What is certain replaces the image's reading; what is not becomes ambiguous.
func (u *unit) settleBounds(operands []operand) {
	for i := range operands {
		r := &operands[i]
		p := r.place
		if r.kind != image.RefAddr || p.Proven || p.ViaSlot ||
			p.Kind != image.PlaceAnon && p.Kind != image.PlaceLinker && (p.Kind != image.PlaceAtom || p.Addend != 0) {
			continue
		}
		ending := objectsEnding(u.im, p.Addr)
		use := u.im.BoundUseAt(r.body, int(r.ref.Inst))
		switch {
		case use == image.BoundInside || p.Lone && use == image.BoundNone && !slices.ContainsFunc(ending, u.mayName):
			if p.Lone || len(p.Candidates) > 0 {
				r.place = withoutEnding(p, ending)
			}
		case use == image.BoundNone, len(ending) == 0 && !u.anonBefore(p, operands):
		case len(ending) == 0:
			q := *p
			q.Number, q.Why = true, "it is used as an end, and the code also names a constant without a symbol in front of it"
			r.place = &q
		case use == image.BoundBelow:
			a := ending[0]
			r.place = &image.Place{Kind: image.PlaceAtom, Atom: a, Addend: int64(p.Addr - a.Addr), Addr: p.Addr, Proven: len(ending) == 1}
			if len(ending) > 1 {
				r.place.Candidates = ending
			}
		default:
			r.place = withEnding(p, ending)
		}
	}
}

// withEnding returns the place with the readings in which it is the end of an object.
func withEnding(p *image.Place, ending []*image.Atom) *image.Place {
	q := *p
	if q.Kind == image.PlaceAtom && len(q.Candidates) == 0 {
		q.Candidates = []*image.Atom{q.Atom}
	}
	q.Candidates = slices.Clone(q.Candidates)
	for _, a := range ending {
		if !slices.Contains(q.Candidates, a) {
			q.Candidates = append(q.Candidates, a)
		}
	}
	return &q
}

// withoutEnding returns the place without the readings in which it is the end of an object.
func withoutEnding(p *image.Place, ending []*image.Atom) *image.Place {
	q := *p
	q.Lone = false
	q.Candidates = slices.DeleteFunc(slices.Clone(p.Candidates), func(a *image.Atom) bool { return slices.Contains(ending, a) })
	if p.Kind == image.PlaceAtom && len(q.Candidates) < 2 {
		q.Candidates = nil // the atom itself
	}
	return &q
}

// mayName reports whether the unit's source could name an object, as far as the symbol table says: a static object of another file is out of its
// reach. See also [image.Image.NamesStatic].
func (u *unit) mayName(a *image.Atom) bool { return mayName(u.atom(), a) }

// mayName is [unit.mayName] for the source of a function or object.
func mayName(f, a *image.Atom) bool {
	return !f.Local || !a.Local || f.File == "" || a.File == "" || f.File == a.File
}

// anonBefore reports whether the unit also takes the address of a constant without a symbol that could end where an
// object starts, at p: nothing with a name lies between them.
func (u *unit) anonBefore(p *image.Place, operands []operand) bool {
	if p.Kind != image.PlaceAtom || p.Atom.IsCode() {
		return false
	}
	for i := range operands {
		q := operands[i].place
		if q.Kind == image.PlaceAnon && operands[i].kind == image.RefAddr && q.Addr < p.Addr &&
			u.im.SectionAt(q.Addr) == p.Atom.Section {
			if x, ok := u.im.AnonExtent(q.Addr); ok && (x.Text == 0 || q.Addr+arch.ImageAddr(x.Text) == p.Addr) && u.im.NextAtom(q.Addr) == p.Atom {
				return true
			}
		}
	}
	return false
}

// objectsEnding returns the data objects that end at an address.
func objectsEnding(im *image.Image, addr arch.ImageAddr) []*image.Atom {
	return slices.DeleteFunc(im.EndingAt(addr), func(a *image.Atom) bool { return a.Kind != image.Object })
}

// placeOf returns what a reference of the unit's code leads to; its body is the image's ([image.Image.Body]).
func (u *unit) placeOf(r *image.Ref) *image.Place {
	if u.settled == nil {
		u.settleAgain()
	}
	if p, ok := u.settled[r]; ok {
		return p
	}
	return &r.Place
}

// settleAgain finds what settleBounds found when the unit was compared, for the bodies that stay.
func (u *unit) settleAgain() {
	u.extra().settled = make(map[*image.Ref]*image.Place)
	var c canonicalizer
	if u.tokens(c.add) != nil {
		return // then nothing of it is carried or described
	}
	u.settleBounds(c.operands)
	for i := range c.operands {
		if o := &c.operands[i]; o.place != &o.ref.Place {
			u.settled[o.ref] = o.place
		}
	}
}

// lone refuses an address that is the end of one object and the start of another (HAZARDS D17), where nothing in the
// function speaks for either and they are at different places in the running process.
func (e *emitter) lone(p *image.Place) error {
	start, startKnown := arch.ImageAddr(0), false
	name := fmt.Sprintf("a constant without a name at %#x", uint64(p.Addr))
	if p.Kind == image.PlaceAtom {
		start, startKnown = e.running(p.Atom)
		name = p.Atom.Name
	}
	for _, a := range objectsEnding(e.d.new.im, p.Addr) {
		if at, ok := e.running(a); ok && startKnown && at+(p.Addr-a.Addr) == start {
			continue
		}
		return fmt.Errorf("address %#x is ambiguous: it is the end of %s and the start of %s, "+
			"which are at different places in the running process, "+
			"and nothing else in the function speaks for either; link with -Wl,--emit-relocs, which tells objects that are not static",
			uint64(p.Addr), a.Name, name)
	}
	return nil
}

// running returns where an object of the new build is in the running process, by its address in the old build; false if the payload carries it.
func (e *emitter) running(b *image.Atom) (arch.ImageAddr, bool) {
	old := e.d.rev.of(b)
	if o := e.d.objNew[b]; old == nil || o != nil && o.moves() || e.d.labels[b] != nil {
		return 0, false
	}
	return old.Addr, true
}

// bindAmbiguous binds a place with several readings if all of them are at the same
// place in the running process.
func (e *emitter) bindAmbiguous(p *image.Place) (int, int64, error) {
	if p.Why != "" {
		return 0, 0, fmt.Errorf("address %#x is ambiguous: %s", uint64(p.Addr), p.Why)
	}
	if p.Shared && len(p.Candidates) == 0 {
		return 0, 0, fmt.Errorf("address %#x is ambiguous: several symbols of the linker have it, %s among them", uint64(p.Addr), p.Linker)
	}
	if p.Number || len(p.Candidates) == 0 {
		return 0, 0, fmt.Errorf("%#x could be an address or a plain number", uint64(p.Addr))
	}
	var at arch.ImageAddr
	for i, b := range p.Candidates {
		start, ok := e.running(b)
		if addr := start + (p.Addr - b.Addr); p.Both && (!ok || i > 0 && addr != at) {
			return 0, 0, fmt.Errorf("it accesses %s with one instruction, which are not side by side in the running process", atomNames(p.Candidates))
		}
		if !ok {
			return 0, 0, fmt.Errorf("address %#x is ambiguous: it could belong to any of %s", uint64(p.Addr), atomNames(p.Candidates))
		}
		addr := start + (p.Addr - b.Addr)
		if p.Kind == image.PlaceLinker && !e.marks(p, addr) {
			return 0, 0, fmt.Errorf("address %#x is ambiguous: it is the end of %s and %s, which are at different places in the running process",
				uint64(p.Addr), b.Name, p.Linker)
		}
		if i > 0 && addr != at || p.Kind == image.PlaceAnon {
			return 0, 0, fmt.Errorf("address %#x is ambiguous: it could belong to any of %s, which are at different places in the running process",
				uint64(p.Addr), atomNames(p.Candidates))
		}
		at = addr
	}
	b := p.Candidates[0]
	sym, err := e.atom(b, 0)
	return sym, int64(p.Addr - b.Addr), err
}

func atomNames(l []*image.Atom) string {
	s := ""
	for i, a := range l {
		if i > 0 {
			s += ", "
		}
		s += a.Name
	}
	return s
}

// marks reports whether the symbol that the linker put at a place of the new build, and no other one, is at addr in the old build.
func (e *emitter) marks(p *image.Place, addr arch.ImageAddr) bool {
	at, ok := e.d.old.im.LinkerSymbol(p.Linker)
	return ok && at == addr && !p.Shared
}
