package elfdiff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Data that gets a new place: a constant of another size, a variable that grew, and what changed between read-only and writable
// memory. Every function that reads it must be in the patch, since an unchanged one would go on using the old place; so must every
// constant that holds its address. What else holds the address is for the user to judge.

// closeOverObjects takes everything into the patch that refers to an object with a new place.
func (d *differ) closeOverObjects() {
	for i := 0; i < len(d.objects); i++ { // constants that hold the address of one are added on the way
		o := d.objects[i]
		if !o.moves() {
			continue
		}
		var beside []*unit
		beside, o.beside = d.readersBeside(o)
		for _, v := range append(d.new.readersOf(o.new), beside...) {
			c := d.byNew[v]
			if c == nil {
				old := d.old.unitOf(d.rev.of(v.atom()))
				if old == nil {
					continue // it is new, and reported as such
				}
				c = &funcChange{old: old, new: v, how: patch.Changed, closure: true}
				d.equal--
				d.addChange(c)
			}
			c.moved = o
		}
		d.closeOverHolders(o)
	}
}

// closeOverHolders renews the constants that hold the address of an object with a new place.
func (d *differ) closeOverHolders(o *objChange) {
	for _, h := range d.new.holdersOf(o.new) {
		old := d.rev.of(h)
		if old == nil || !readOnly(h) || !readOnly(old) {
			continue
		}
		c := d.objNew[h]
		if c == nil {
			c = &objChange{old: old, new: h, delta: objContent}
			if hasDistances(d.new.dataRefs(h)) {
				c.delta = objResized
			}
			d.objects = append(d.objects, c)
			d.objNew[h] = c
		}
		c.because(patch.ReasonReference, &o.entry, "it holds the address of %s, which has a new place", o.new.Name)
	}
}

// readersOf lists the functions that refer to an atom, or whose reference to it cannot be told from one to another.
func (s *side) readersOf(a *image.Atom) []*unit {
	var out []*unit
	for _, u := range s.units {
		if slices.ContainsFunc(u.refs, func(r reference) bool { return u.mayMean(&r, a) }) {
			out = append(out, u)
		}
	}
	return out
}

// mayMean reports whether an atom is among the readings of a reference, or is what it reaches through the dynamic linker.
func (u *unit) mayMean(r *reference, a *image.Atom) bool {
	if u.atomOf(r) == a {
		return true
	}
	if r.to == image.PlaceImport {
		p := u.place(r)
		return p.Import != nil && p.Import.Local == a
	}
	return r.flags&refKept != 0 && slices.Contains(u.places[r.index].Candidates, a)
}

// holdersOf lists the data objects with a name whose initial content has an address in a.
func (s *side) holdersOf(a *image.Atom) []*image.Atom {
	if s.holders == nil {
		s.holders = make(map[*image.Atom][]*image.Atom)
		var refs []image.DataRef
		for _, h := range s.im.Atoms {
			if h.Kind != image.Object && h.Kind != image.TLSObject {
				continue
			}
			refs = s.appendDataRefs(refs[:0], h)
			for i := range refs {
				r := &refs[i]
				for _, to := range append(readings(&r.Place), localImport(&r.Place)) {
					if l := s.holders[to]; to != nil && (len(l) == 0 || l[len(l)-1] != h) {
						s.holders[to] = append(l, h)
					}
				}
			}
		}
	}
	return s.holders[a]
}

// namelessHolders lists the words of data without a name that hold an address in a.
func (s *side) namelessHolders(a *image.Atom) []arch.ImageAddr {
	var out []arch.ImageAddr
	for _, r := range s.im.DynRelocs(0, ^arch.ImageAddr(0)) {
		if relocTarget(s.im, &r) == a && s.im.AtomAt(r.Addr) == nil {
			out = append(out, r.Addr)
		}
	}
	return out
}

// localImport returns the atom of this image that a place reaches by its name, or nil.
func localImport(p *image.Place) *image.Atom {
	if p.Import == nil {
		return nil
	}
	return p.Import.Local
}

// judgeMoved judges a variable that gets a new place.
func (d *differ) judgeMoved(o *objChange) {
	a, b := o.old, o.new
	id := map[objDelta]string{objGrown: "grown:", objMoved: "section:"}[o.delta]
	o.askBeside(id + a.Name)
	switch {
	case a.Copy || b.Copy:
		o.refuse("it is a copy of another module's variable (COPY relocation), which that module uses too; patch that module, or restart")
		return
	case a.Dynamic && !isProgram(d.old.im):
		o.refuse("the library exports it: other modules use it where it is; keep its size, or restart")
		return
	case len(d.new.readersOf(b)) == 0 && len(d.new.holdersOf(b)) == 0:
		return // nothing uses it
	case len(d.new.readersOf(b)) == 0:
		o.refuse("it is reached only through its address in %s: what the program made of that address cannot be told; keep its size, or restart", b.Name)
		return
	}
	held := d.heldBy(a)
	switch {
	case o.delta == objMoved && !readOnly(a):
		o.needAck("section:"+a.Name, "it is a constant now: the value that it has is given up for that of the new build")
	}
	if len(held) > 0 {
		o.needAck(id+a.Name, "its address is held elsewhere (%s): who took it from there goes on using the old place", strings.Join(held, ", "))
	}
}

// judgeGrown judges the variables that grew, once types were compared.
func (d *differ) judgeGrown() {
	for _, o := range d.objects {
		if o.delta == objGrown && !o.longer && len(o.refused) == 0 && len(d.new.readersOf(o.new)) > 0 {
			o.needAck("grown:"+o.old.Name, "that it only became longer at its end cannot be shown: it gets a new place in the stop of the apply, "+
				"and takes its first %d bytes along as they are", o.old.Size)
		}
	}
}

// maxHeld is how many holders of an address are named.
const maxHeld = 5

// heldBy says in words what may hold the address of a variable of the old build besides the functions that use it.
func (d *differ) heldBy(a *image.Atom) []string {
	var out []string
	for _, h := range d.old.holdersOf(a) {
		out = append(out, "in "+h.Name)
	}
	for _, at := range d.old.namelessHolders(a) {
		out = append(out, fmt.Sprintf("in data without a name at %#x", uint64(at)))
	}
	if a.Dynamic {
		out = append(out, "by the dynamic linker, as it is exported")
	}
	for _, u := range d.old.readersOf(a) {
		if d.fwd.of(u.atom()) == nil {
			if how, ok := d.stored[u.atom()]; ok {
				out = append(out, fmt.Sprintf("in %s, which only the old build has and which stays reachable, %s", u.name(), how))
			}
		}
		switch flow := u.flowOf(a); {
		case flow.Escapes:
			out = append(out, u.name()+" may store it or pass it on")
		case flow.Returns:
			out = append(out, u.name()+" may return it")
		}
	}
	if n := len(out); n > maxHeld {
		out = append(out[:maxHeld:maxHeld], fmt.Sprintf("and %d more", n-maxHeld))
	}
	return out
}

// flowOf adds up what a function may do with the address of an object.
func (u *unit) flowOf(a *image.Atom) image.PointerFlow {
	var flow image.PointerFlow
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			return image.PointerFlow{Escapes: true, Returns: true, Writes: true, Yields: true}
		}
		for i := range body.Refs {
			r := &body.Refs[i]
			if place := u.placeOf(r); slices.Contains(append(readings(place), localImport(place)), a) {
				flow.Add(u.im.PointerFlow(body, r))
			}
		}
	}
	return flow
}

// moves makes the table of variables that get a new place, as far as something in the patch refers to them.
func (e *emitter) moves() []patch.Move {
	var out []patch.Move
	for _, o := range e.d.objects {
		sym, carried := e.bodies[o.new]
		if o.delta != objGrown || !carried || len(o.refused) > 0 {
			continue
		}
		out = append(out, patch.Move{Name: o.new.Name, File: o.new.File, Old: o.old.Addr, Size: o.old.Size,
			Keep: min(o.old.Size, o.new.Size), New: sym})
	}
	slices.SortFunc(out, func(a, b patch.Move) int { return cmp.Compare(a.Old, b.Old) })
	return out
}
