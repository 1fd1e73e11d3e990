package elfdiff

import (
	"bytes"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// An address that code takes need not lie in the object that is meant (HAZARDS D17). It may be the end of an array, where something else begins; and
// what the code only adds an index to may lie anywhere, as the base of an array whose index never is zero: compilers turn a[i - 97] into
// (a - 97)[i]. For every such address that goes into the payload, all objects count that could be meant: [emitter.weigh].

// How many bytes in front of an object or behind it the base may lie from which code gets into it by an index. Nothing bounds that; characters and small
// numbers as indices come to some hundreds, or to a few thousand where the elements are structs.
const (
	reach      = 16 << 10
	reachStart = 1 << 10 // where an object begins just at the address
	reachText  = 64      // where a text stands there, or if it is constants without a name that may be meant
)

// operandAt is an operand of a function that is carried.
type operandAt struct {
	c    *funcChange
	part int
	body *image.Body
	ref  *image.Ref
}

func (o *operandAt) key() fieldKey { return fieldKey{o.part, o.ref.Off} }

// doubt is an address of the new build that may be meant for several objects.
type doubt struct {
	e        *emitter
	place    *image.Place  // as it was resolved
	readings []*image.Atom // objects that may be meant
	at       *operandAt    // nil: word
	word     *wordAt
	plain    bool // see [image.AddressUse]
	merged   bool // it may be meant as the end of one object and as the start of another by one instruction
}

// distance returns how far away objects may be meant.
func (d *doubt) distance() uint64 { return reachOf(d.e.d.new.im, d.place, d.plain) }

// reachOf returns how many bytes away from a place objects may be meant.
func reachOf(im *image.Image, p *image.Place, plain bool) uint64 {
	switch {
	case plain:
		return 0
	case p.Kind == image.PlaceAnon && im.IsText(p.Addr):
		return reachText
	case p.Kind == image.PlaceAtom && p.Addend == 0:
		return reachStart
	}
	return reach
}

// namelessReach returns how far away constants without a name may be meant. In a program that is linked for a fixed address compilers put the base
// of an array into the instruction that has the index.
func (d *doubt) namelessReach() arch.ImageAddr {
	switch {
	case d.plain, d.place.Kind == image.PlaceAnon:
		return 0
	case d.e.d.new.im.Fixed():
		return reach
	case d.place.Addend != 0:
		return reachText
	}
	return 0
}

// weigh decides what an address means that an instruction takes: what the code, or code that it hands the address to, accesses through it; else what it may mean is all at the same
// distance from each other in the running process; else what the same operand of the old body means, too. It is an error if none of that is shown.
func (e *emitter) weigh(o *operandAt, p *image.Place) (*image.Place, error) {
	taken := o.ref.Kind == image.RefAddr || o.ref.Kind == image.RefImm
	switch {
	case p.ViaSlot && taken && p.Kind != image.PlaceTLS && !p.Number:
		return nil, fmt.Errorf("it takes the address %#x, which is that of a GOT slot, and may be meant for what lies beside it", uint64(p.Addr))
	case p.Kind == image.PlaceLinker && taken && !o.c.new.im.HasRelocs && p.Linker != image.OwnEnd:
	case p.Proven || p.Both || p.ViaSlot || !mayLieBeside(p.Kind, p.Atom, p.Number), e.d.labels[p.Atom] != nil && p.Addend == 0:
		return p, nil
	}
	use := o.c.new.im.AddressUse(o.body, o.ref)
	d := &doubt{e: e, place: p, at: o, plain: use.Plain}
	d.merged = o.c.new.im.Arch.Pieces != nil && d.between() && use.Several()
	if q := e.accessed(p, append(use.Handed(), use.Accessed...)); q != nil && !d.merged {
		return q, nil
	}
	if p.Kind == image.PlaceLinker && use.Plain {
		return p, nil // see [emitter.linker]
	}
	d.readings = o.c.new.beside(p.Addr, d.distance())
	return d.settle()
}

// between reports whether an address is the end of one object and the start of another, which are elsewhere to each other in the running process.
func (d *doubt) between() bool {
	p, u := d.place, d.at.c.new
	var first *image.Atom
	for _, a := range u.beside(p.Addr, 0) {
		if first == nil {
			first = a
			continue
		}
		x, ok1 := d.meant(first)
		y, ok2 := d.meant(a)
		if !ok1 || !ok2 || x != y {
			return true
		}
	}
	return false
}

// mayLieBeside reports whether an address that is resolved so may lie beside the object that is meant.
func mayLieBeside(kind image.PlaceKind, a *image.Atom, number bool) bool {
	switch kind {
	case image.PlaceAtom:
		return a.Kind == image.Object
	case image.PlaceAnon:
		return true
	case image.PlaceUnknown:
		return number
	}
	return false
}

// accessed returns the place of an address by the memory that the code accesses at certain distances from it, which is of the object that is meant;
// nil if that says nothing.
func (e *emitter) accessed(p *image.Place, at []int64) *image.Place {
	var found *image.Place
	for _, off := range at {
		q := *p
		q.Candidates, q.Lone, q.Proven = nil, false, !p.Number
		cover := e.d.new.im.Covering(p.Addr + arch.ImageAddr(off))
		switch {
		case len(cover) == 1 && isNeighbour(cover[0]):
			q.Kind, q.Atom, q.Addend = image.PlaceAtom, cover[0], int64(p.Addr-cover[0].Addr)
		case len(cover) > 0 || p.Kind != image.PlaceAnon || off < 0 || uint64(off) >= e.d.new.anon(p.Addr).Size:
			return nil
		}
		if found != nil && (found.Kind != q.Kind || found.Atom != q.Atom) {
			return nil
		}
		found = &q
	}
	return found
}

// isNeighbour reports whether an atom is data that an address beside it could be meant for.
func isNeighbour(a *image.Atom) bool { return a.Kind == image.Object && !a.CRT && a.Section != nil }

// beside lists the objects that the unit's source can name and that an address may be meant for: those that are no further away than so many bytes. One that
// is plain, as the source has it, lies in its object or is its end.
func (u *unit) beside(addr arch.ImageAddr, distance uint64) []*image.Atom {
	var out []*image.Atom
	for _, a := range u.im.Near(addr, distance) {
		inside := addr >= a.Addr && addr < a.End()
		if isNeighbour(a) && (inside || !image.IsUnwalked(a.Name) && u.mayName(a) && u.im.NamesStatic(u.atom(), a)) {
			out = append(out, a)
		}
	}
	return out
}

// meant is where an address of the new build leads to in the running process if it is meant for an object; false if the payload carries that.
func (d *doubt) meant(a *image.Atom) (arch.ImageAddr, bool) {
	at, ok := d.e.running(a)
	return at + (d.place.Addr - a.Addr), ok
}

// apart lists the readings with which the address leads elsewhere in the running process than with the likeliest.
func (d *doubt) apart() []*image.Atom {
	p := d.place
	at, known := p.Addr, p.Kind == image.PlaceUnknown || p.Number && d.e.unmoved(p) // a number stays as it is
	switch p.Kind {
	case image.PlaceAtom:
		at, known = d.meant(p.Atom)
	case image.PlaceLinker:
		at, known = d.e.d.old.im.LinkerSymbol(p.Linker)
	}
	var out []*image.Atom
	for _, a := range d.readings {
		x, ok := d.meant(a)
		if a == p.Atom || ok && known && x == at {
			continue
		}
		out = append(out, a)
	}
	return out
}

// settle decides what the address means.
func (d *doubt) settle() (*image.Place, error) {
	p := d.place
	for _, a := range readings(p) {
		if !slices.Contains(d.readings, a) {
			d.readings = append(d.readings, a)
		}
	}
	if len(d.apart()) > 0 {
		d.readings = slices.DeleteFunc(d.readings, func(a *image.Atom) bool { // nothing has an index into a number
			return (p.Addr < a.Addr || p.Addr > a.End()) && !d.e.d.new.walked(a)
		})
		if apart := d.apart(); len(apart) > 0 {
			return d.asBefore(apart)
		}
	}
	w := *p
	w.Lone = false
	if p.Kind == image.PlaceAtom {
		if at, ok := d.meant(p.Atom); ok {
			return &w, d.besideNameless(at)
		}
	}
	return &w, nil
}

// asBefore decides by the same operand of the old body.
func (d *doubt) asBefore(apart []*image.Atom) (*image.Place, error) {
	p, diff := d.place, d.e.d
	q := d.former()
	if q == nil {
		return nil, d.ambiguous(apart, "nothing corresponds to it in the old build")
	}
	if d.merged && !sameInstructions(d.at.c) {
		return nil, d.ambiguous(apart, "it may be used as both")
	}
	var kept []*image.Atom
	for _, a := range d.readings {
		old := diff.rev.of(a)
		if old == nil && q.Kind == image.PlaceAtom && diff.atomsEqual(q.Atom, a) {
			old = q.Atom
		}
		if old != nil && q.Addr-old.Addr == p.Addr-a.Addr {
			kept = append(kept, a)
		}
	}
	if slices.ContainsFunc(kept, d.moves) {
		kept = nearest(p.Addr, kept)
	}
	nameless := p.Kind == image.PlaceAnon && q.Kind == image.PlaceAnon && diff.anonEqual(q.Addr, p.Addr, use{address: true}) &&
		diff.old.telling(q.Addr) && diff.new.telling(p.Addr)
	w := *p
	w.Candidates, w.Lone, w.Proven = nil, false, !p.Number
	resized := diff.resizedEnd(d.readings, q.Addr, p.Addr)
	switch a, b := diff.exchangedAmong(d.before(q.Addr), d.readings, q.Addr, p.Addr); {
	case a != nil:
		return nil, d.ambiguous(apart, fmt.Sprintf("it may be meant for %s where the old build has %s", b.Name, a.Name))
	case resized != nil && (d.word != nil || !d.at.c.closure): // see [differ.readersBeside]
		return nil, d.ambiguous(apart, fmt.Sprintf("it may be the end of %s, which has another size", resized.Name))
	case p.Kind == image.PlaceUnknown && p.Addr == q.Addr && !slices.ContainsFunc(kept, d.moves):
		return p, d.besideNameless(q.Addr)
	case p.Kind == image.PlaceLinker && len(kept) == 0:
		return nil, d.ambiguous(apart, "it is also "+p.Linker)
	case p.Kind == image.PlaceAnon && !nameless && len(kept) > 0:
		return nil, d.ambiguous(apart, "the old build has another constant without a name")
	case len(kept) == 0 && !nameless:
		return nil, d.ambiguous(apart, "the old build has something else")
	case len(kept) == 0:
		return &w, nil
	case nameless && d.besideCopies():
		return nil, d.ambiguous(apart, "the payload has a copy of what lies beside it")
	case (len(kept) > 1 || nameless) && slices.ContainsFunc(kept, d.moves):
		return nil, d.ambiguous(apart, "one of them gets a new place")
	}
	// All that it may mean leads where the old body's operand does.
	w.Kind, w.Atom, w.Addend = image.PlaceAtom, kept[0], int64(p.Addr-kept[0].Addr)
	w.Number = p.Number && p.Addr == q.Addr
	return &w, d.besideNameless(q.Addr)
}

// former returns what the old build has in the same place; nil if nothing corresponds.
func (d *doubt) former() *image.Place {
	if d.word != nil {
		return d.e.formerWord(d.word)
	}
	return d.e.formerPlace(d.at)
}

// before lists the objects that an address may be meant for in the same place of the old build, which has something there.
func (d *doubt) before(addr arch.ImageAddr) []*image.Atom {
	if d.word != nil {
		return besideData(d.e.d.old.im, d.e.d.rev.of(d.word.holder), addr)
	}
	return d.at.c.old.beside(addr, d.distance())
}

// nearest returns the one of several objects that holds an address, or that the address is shortly in front of, if there is one such. Where an object gets a
// new place, all others that stay as they are would be in doubt with it, however far away they are.
func nearest(at arch.ImageAddr, kept []*image.Atom) []*image.Atom {
	near := slices.DeleteFunc(slices.Clone(kept), func(a *image.Atom) bool { return at+reachText < a.Addr || at > a.End() })
	if len(near) == 1 {
		return near
	}
	return kept
}

// besideCopies reports whether the function walks through other constants without a name, which the payload has copies of: an address that
// is bound where the running process has it could be the end of such a one.
func (d *doubt) besideCopies() bool {
	if d.word != nil {
		return d.e.copiesOthers(d.word)
	}
	o := d.at
	for i := range o.c.new.refs {
		r := &o.c.new.refs[i]
		if r.to != image.PlaceAnon || r.kind != image.RefAddr && r.kind != image.RefImm || o.c.new.addr(r) == d.place.Addr {
			continue
		}
		if x := o.c.new.operand(i); x == nil || !o.c.new.im.AddressUse(x.body, x.ref).Plain {
			return true
		}
	}
	return false
}

// moves reports whether an object of the new build is not where the running process has it.
func (d *doubt) moves(a *image.Atom) bool {
	_, ok := d.e.running(a)
	return !ok
}

// besideNameless refuses an address, which leads to at in the running process, if constants without a name lie near that are not the same there.
func (d *doubt) besideNameless(at arch.ImageAddr) error {
	p, old, new := d.place, d.e.d.old.im, d.e.d.new.im
	s := new.SectionAt(p.Addr)
	distance := d.namelessReach()
	if distance == 0 || s == nil || s.Writable() || s.Exec() || s.Data == nil {
		return nil
	}
	start, end := p.Addr-min(distance, p.Addr-s.Addr), min(p.Addr+distance, s.End())
	for start < end {
		if cover := new.Covering(start); len(cover) > 0 {
			start = cover[0].End()
			continue
		}
		stop := end
		if a := new.NextAtom(start); a != nil {
			stop = min(stop, a.Addr)
		}
		x, ok1 := new.Bytes(start, uint64(stop-start))
		y, ok2 := old.Bytes(at+(start-p.Addr), uint64(stop-start))
		padding := stop-start < reachText && len(bytes.Trim(x, "\x00")) == 0
		if !padding && (!ok1 || !ok2 || !bytes.Equal(x, y)) {
			return d.ambiguous(nil, fmt.Sprintf("it may be meant for a constant without a name at %#x, and an index leads there", uint64(start)))
		}
		start = stop
	}
	return nil
}

// ambiguous is the error of an address for which nothing is shown.
func (d *doubt) ambiguous(apart []*image.Atom, why string) error {
	p := d.place
	name := fmt.Sprintf("a constant without a name at %#x", uint64(p.Addr))
	switch {
	case p.Kind == image.PlaceAtom:
		name = p.Atom.Name
	case p.Kind == image.PlaceUnknown:
		name = "a number"
	case p.Kind == image.PlaceLinker:
		name = p.Linker
	}
	const most = 3 // names
	where := "in the function "
	if d.word != nil {
		where = ""
	}
	what := fmt.Sprintf("it could belong to any of %s", some(append([]string{name}, eachName(apart)...), most))
	if i := slices.IndexFunc(apart, func(a *image.Atom) bool { return a.End() == p.Addr }); i >= 0 {
		what = fmt.Sprintf("it is the end of %s and the start of %s", apart[i].Name, name)
	}
	return fmt.Errorf("address %#x is ambiguous: %s, which are at different places in the running process, and nothing else %sspeaks for "+
		"either (%s); link with -Wl,--emit-relocs, which tells objects that are not static", uint64(p.Addr), what, where, why)
}

func eachName(atoms []*image.Atom) []string {
	var out []string
	for _, a := range atoms {
		out = append(out, a.Name)
	}
	return out
}

// formerPlace returns what the operand of the old body leads to that corresponds to one of the new body; nil if none does.
func (e *emitter) formerPlace(o *operandAt) *image.Place {
	if e.formerOf != o.c {
		e.former, e.formerOf = e.d.counterparts(o.c), o.c
	}
	return e.former[o.key()]
}

// sameInstructions reports whether two bodies of a function have the same instructions, but for operands.
func sameInstructions(c *funcChange) bool {
	if c.old == nil || c.old.err != nil || c.new.err != nil {
		return false
	}
	hunks, _ := alignInstructions(instructions(c.old), instructions(c.new))
	return hunks == 0
}

// counterparts lists what the operands of the old body of a function lead to, by the fields of the new body that correspond to them.
func (d *differ) counterparts(c *funcChange) map[fieldKey]*image.Place {
	out := make(map[fieldKey]*image.Place)
	if c.old == nil || c.old.err != nil || c.new.err != nil {
		return out
	}
	old, new := instructions(c.old), instructions(c.new)
	_, pairs := alignInstructions(old, new)
	for _, p := range pairs {
		a, b := &old[p[0]], &new[p[1]]
		if len(a.refs) != len(b.refs) {
			continue
		}
		for i, r := range b.refs {
			if a.refs[i].Kind == r.Kind {
				out[fieldKey{b.part, r.Off}] = c.old.placeOf(a.refs[i])
			}
		}
	}
	return out
}
