package elfdiff

import (
	"encoding/binary"
	"slices"
	"sync"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// explain finds the reasons of every function's change, and which are in line numbers only.
//
// First each pair of bodies is compared by itself; only then is it known which changes are more than
// line numbers, and can be the cause of others.
func (d *differ) explain() {
	d.readDebug(func(int) bool { return true }, func(p *image.Atom, im *image.Image) { im.Lines(p) })
	all := make([]*explainer, len(d.funcs))
	parallel(len(all), func() func(i int) {
		return func(i int) { all[i] = d.explainer(d.funcs[i]) }
	})
	setLineOnly(all)
	d.readDebug(func(i int) bool { return all[i] != nil && !all[i].lineOnly() }, func(p *image.Atom, im *image.Image) { im.Inlines(p) })
	d.findInlineChanges(all)
	for i, c := range d.funcs {
		if c.moved != nil {
			c.because(patch.ReasonData, &c.moved.entry, "reads %s, which has a new place", c.moved.new.Name)
		}
		if all[i] != nil {
			all[i].explain()
		} else if c.how == patch.Changed && !c.closure && len(c.reasons) == 0 {
			c.because(patch.ReasonUnknown, nil, "its bytes differ, or it moved, and it cannot be decoded")
		}
	}
	for _, c := range d.funcs {
		d.explainLone(c)
	}
	for _, o := range d.objects {
		if o.delta != objAdded {
			continue
		}
		if by := d.changedUser(&d.new, o.new, func(u *unit) *funcChange { return d.byNew[u] }); by != nil {
			o.because(patch.ReasonAdded, &by.entry, "only the new build has it, for %s", by.new.name())
		} else if len(o.reasons) == 0 {
			o.because(patch.ReasonAdded, nil, "only the new build has it")
		}
	}
}

// setLineOnly marks the functions that differ in line numbers only; they are nobody's cause. All pairs have been compared: a goroutine that
// compares one must not ask what another one finds out.
func setLineOnly(all []*explainer) {
	only := make(map[*entry]bool)
	for _, x := range all {
		if x != nil && x.line {
			x.c.line, only[&x.c.entry] = true, true
		}
	}
	for _, x := range all {
		if x == nil {
			continue
		}
		for i := range x.findings {
			if r := &x.findings[i].reason; only[r.cause] {
				r.cause = nil
			}
		}
	}
}

// readDebug reads some of what the debug information says of those functions that changed that want it, of both builds at the same time. The
// images keep it; what cannot be read is missing where it is asked for.
func (d *differ) readDebug(want func(i int) bool, what func(*image.Atom, *image.Image)) {
	var wg sync.WaitGroup
	read := func(of func(*funcChange) *unit) {
		for i, c := range d.funcs {
			if u := of(c); u != nil && c.how == patch.Changed && want(i) {
				for _, p := range u.parts {
					what(p, u.im)
				}
			}
		}
	}
	wg.Go(func() { read(func(c *funcChange) *unit { return c.old }) })
	wg.Go(func() { read(func(c *funcChange) *unit { return c.new }) })
	wg.Wait()
}

// explainer compares the bodies of a changed function; nil if there are not two, or nothing that their instructions show.
func (d *differ) explainer(c *funcChange) *explainer {
	if c.how != patch.Changed || c.closure || len(c.reasons) > 0 || c.old.err != nil || c.new.err != nil {
		return nil
	}
	x := &explainer{d: d, c: c, old: instructions(c.old), new: instructions(c.new)}
	x.compare()
	x.line = x.lineOnly() && c.moved == nil
	if x.line {
		x.keepExchanged()
	}
	return x
}

// keepExchanged finds that a function which differs in line numbers otherwise has an address that may mean another object now: it counts as changed.
func (x *explainer) keepExchanged() {
	c := x.c
	if len(c.old.refs) != len(c.new.refs) {
		x.line = false
		return
	}
	if g := x.d.exchanged(c.old, c.new); g != nil {
		x.line = false
		c.exchanged(g)
	}
}

// instruction is a token that outlives the walk over its unit.
type instruction struct {
	canon   string // canonical bytes, and those operands that the outline covers
	outline string // see [arch.Arch.Outline]
	local   int
	table   bool // the literals are a jump table's targets
	lits    []int64
	imm     int   // index in lits of an immediate that could be a line number, or -1
	rest    int64 // what other instructions add to that immediate
	refs    []*image.Ref
	part    int
	off     uint32
}

// same reports whether two instructions do the same, but for registers, stack slots and operands.
func (a *instruction) same(b *instruction) bool { return a.canon == b.canon || a.outline == b.outline }

func instructions(u *unit) []instruction {
	out := make([]instruction, 0, u.count)
	var scratch []byte
	var parts halves
	u.tokens(func(t *token) { // the unit was decoded before, so that there is no error
		in := instruction{canon: string(t.canon), local: t.local, table: t.table, imm: -1, part: t.part, off: t.off,
			lits: slices.Clone(t.lits), refs: slices.Clone(t.refs)}
		outline, covers := u.im.Arch.Outline(scratch[:0], t.code, t.in)
		scratch = outline
		switch in.outline = string(outline); {
		case slices.ContainsFunc(t.refs, func(r *image.Ref) bool { return r.Place.ViaSlot }):
			in.outline = "slot " + in.outline // it is not the slot's content that counts, but what the slot names
		case covers[0] && !t.table && len(in.lits) > 0:
			in.canon += string(binary.LittleEndian.AppendUint64(nil, uint64(in.lits[0])))
			in.lits = in.lits[1:]
		case t.in.NumOps == 1 && len(t.lits) == 1 && t.in.Ops[0].Kind == arch.OpImm && (!t.in.Ops[0].Arith || t.in.Ops[0].Part):
			in.imm = 0
		}
		out = append(out, in)
		if u.im.Arch.Pieces != nil {
			parts.join(u.im.Arch, t, out)
		}
	})
	return out
}

// explainer compares two bodies of one function, instruction by instruction.
type explainer struct {
	d        *differ
	c        *funcChange
	old, new []instruction

	places   []span    // where instructions differ
	tooMany  bool      // more than can be told apart
	findings []finding // operands that differ
	branches int       // branches that lead elsewhere
	shifted  int       // instructions with other registers or stack slots
	lines    int       // line numbers that differ
	line     bool      // nothing else does, and the function is not moved

	rows    *[2][]int          // lines of both bodies, once they were asked for
	inlines [2]*[]image.Inline // of both bodies, once they were asked for
}

// span is a place where the bodies differ: instructions [i, iEnd) of the old one stand for [j, jEnd) of the new one.
type span struct{ i, iEnd, j, jEnd int }

// finding is a pair of corresponding instructions with different operands.
type finding struct {
	at     span
	reason reason
	number *[2]int64 // a number of the old build and what stands for it; nil: something else differs
}

// clearly is the number of places up to which operands are described: what the alignment brings together in bodies that
// are less alike need not belong together.
const clearly = 6

// compare aligns the two bodies by the outlines of their instructions, and compares what the outlines leave out.
func (x *explainer) compare() {
	places, aligned := alignInstructions(x.old, x.new)
	x.tooMany = places < 0
	if places != 0 {
		x.places = between(aligned, len(x.old), len(x.new))
	}
	for _, p := range aligned {
		a, b := &x.old[p[0]], &x.new[p[1]]
		if a.canon != b.canon {
			x.shifted++
		}
		if places == 0 && a.local != b.local {
			x.branches++
		}
		if places <= clearly {
			x.operands(a, b, span{p[0], p[0] + 1, p[1], p[1] + 1})
		}
	}
}

// between returns the instructions that correspond to nothing, place by place.
func between(aligned [][2]int, n, m int) []span {
	var out []span
	i, j := 0, 0
	for _, p := range slices.Concat(aligned, [][2]int{{n, m}}) {
		if p[0] != i || p[1] != j {
			out = append(out, span{i, p[0], j, p[1]})
		}
		i, j = p[0]+1, p[1]+1
	}
	return out
}

// operands compares what two instructions of the same form work on.
func (x *explainer) operands(a, b *instruction, at span) {
	add := func(kind patch.ReasonKind, format string, args ...any) {
		x.findings = append(x.findings, finding{at: at, reason: newReason(kind, nil, format, args...)})
	}
	for i := range min(len(a.lits), len(b.lits)) {
		switch {
		case a.lits[i] == b.lits[i] || a.table && b.table:
		case i == a.imm && i == b.imm && x.isLine(a, b):
			x.lines++
		default:
			add(patch.ReasonConstant, "constant %s -> %s", number(a.lits[i]), number(b.lits[i]))
			x.findings[len(x.findings)-1].number = &[2]int64{a.lits[i], b.lits[i]}
		}
	}
	switch {
	case a.table && b.table && len(a.lits) != len(b.lits):
		add(patch.ReasonTable, "a jump table of another size")
	case a.table && b.table && len(x.places) == 0 && !slices.Equal(a.lits, b.lits):
		add(patch.ReasonTable, "a jump table that leads elsewhere")
	case len(a.lits) != len(b.lits):
		add(patch.ReasonConstant, "a number where an address was, or the reverse")
	}
	for i := range min(len(a.refs), len(b.refs)) {
		if r, s := a.refs[i], b.refs[i]; !x.sameRef(r, s) {
			if len(x.places) > 0 && named(s) {
				continue // see useReasons
			}
			x.findings = append(x.findings, finding{at: at, reason: x.d.describe(r, s)})
		}
	}
	if len(a.refs) != len(b.refs) {
		add(patch.ReasonReference, "an address where a number was, or the reverse")
	}
}

// named reports whether an operand is one that [explainer.useReasons] speaks of: not a constant that is read.
func named(r *image.Ref) bool { return r.Place.Kind != image.PlaceAnon || r.Kind != image.RefMem }

func (x *explainer) sameRef(r, s *image.Ref) bool {
	p, q := x.c.old.placeOf(r), x.c.new.placeOf(s)
	return x.d.placesEqual(p, q, useOf(r.Kind, r.Width, s.Width)) || x.d.copiesEqual(x.c.old, x.c.new, p, q)
}

// lineOnly reports whether nothing but line numbers differs.
func (x *explainer) lineOnly() bool {
	return x.lines > 0 && len(x.places) == 0 && x.branches == 0 && x.shifted == 0 && len(x.findings) == 0 &&
		sameGaps(x.c.old, x.c.new) && x.d.tablesEqual(x.c.old, x.c.new) && x.d.catchesEqual(x.c.old, x.c.new)
}

// catchesEqual compares what the exception tables of two units of equal instructions say.
func (d *differ) catchesEqual(u, v *unit) bool {
	var tables [2]canonicalizer
	for i, side := range []*unit{u, v} {
		var bodies []*image.Body
		for _, p := range side.parts {
			b, err := side.im.Body(p)
			if err != nil {
				return false
			}
			bodies = append(bodies, b)
		}
		tables[i].number(side, bodies)
		if tables[i].exceptions(side) != nil {
			return false
		}
	}
	same := func(a, b operand) bool { return d.placesEqual(a.place, b.place, use{address: true}) }
	return slices.Equal(tables[0].shape, tables[1].shape) && slices.EqualFunc(tables[0].operands, tables[1].operands, same)
}

// explainLone says what one build has a function for that the other lacks.
func (d *differ) explainLone(c *funcChange) {
	switch c.how {
	case patch.Added:
		if by := d.changedUser(&d.new, c.new.atom(), func(u *unit) *funcChange { return d.byNew[u] }); by != nil {
			c.because(patch.ReasonAdded, &by.entry, "only the new build has it, for %s", by.new.name())
		} else {
			c.because(patch.ReasonAdded, nil, "only the new build has it")
		}
	case patch.Removed:
		of := func(u *unit) *funcChange { return d.byNew[d.new.unitOf(d.fwd.of(u.atom()))] }
		if by := d.changedUser(&d.old, c.old.atom(), of); by != nil {
			c.because(patch.ReasonRemoved, &by.entry, "only the old build has it; %s no longer uses it", by.new.name())
		} else {
			c.because(patch.ReasonRemoved, nil, "only the old build has it")
		}
	}
}

// changedUser returns the first function that refers to an atom, is in both builds, and changed for reasons other than
// a clone's new name.
func (d *differ) changedUser(s *side, a *image.Atom, of func(*unit) *funcChange) *funcChange {
	for _, u := range s.usersOf(a) {
		c := of(u)
		if c == nil || c.how != patch.Changed || c.line {
			continue
		}
		if !slices.ContainsFunc(c.reasons, func(r reason) bool { return r.kind == patch.ReasonClone }) {
			return c
		}
	}
	return nil
}
