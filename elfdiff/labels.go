package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// Labels as values (computed goto; HAZARDS D25). A function whose tables of labels are its own gets copies of them in the payload, which
// lead into its new body. Where a label can have been stored, the new body may come upon one of the old body.

// labelAt returns which instruction of its function an address in the middle of code is, counted as in the canonical form: what lies
// between the instructions in front of it does not count.
func (s *side) labelAt(p *image.Place) (u *unit, index int) {
	if u = s.unitOf(p.Atom); u == nil || u.err != nil {
		return nil, 0
	}
	parts := make([]partIndex, len(u.parts))
	n := 0
	for i, a := range u.parts {
		body, err := s.im.Body(a)
		if err != nil {
			return nil, 0
		}
		n = parts[i].number(s.im.Arch, body, n)
	}
	return u, canonicalTarget(parts, p.Atom, uint32(p.Addend))
}

// labelsEqual reports whether two addresses in the middle of code are the same place of the same function.
func (d *differ) labelsEqual(p, q *image.Place) bool {
	u, i := d.old.labelAt(p)
	v, k := d.new.labelAt(q)
	return u != nil && v != nil && d.fwd.of(u.atom()) == v.atom() && i >= 0 && i == k
}

// inCode reports whether a place is in the middle of a function.
func inCode(p *image.Place) bool {
	return p.Kind == image.PlaceAtom && p.Atom.IsCode() && (p.Addend != 0 || p.Atom.Parent != nil)
}

// holdsLabels reports whether a data object has an address in the middle of a function.
func (s *side) holdsLabels(a *image.Atom) bool {
	return slices.ContainsFunc(s.dataRefs(a), func(r image.DataRef) bool { return inCode(&r.Place) })
}

// labelTables returns the data objects that hold labels of a function, and the first label that something else holds: code, or data
// without a name; nil if none does.
func (s *side) labelTables(u *unit) (tables []*image.Atom, other *image.Escape) {
	for _, p := range u.parts {
		body, err := s.im.Body(p)
		if err != nil {
			continue
		}
		for i := range body.Escapes {
			e := &body.Escapes[i]
			t := s.im.AtomAt(e.Data)
			switch {
			case e.Inst >= 0 || t == nil || t.Kind != image.Object:
				if other == nil {
					other = e
				}
			case !slices.Contains(tables, t):
				tables = append(tables, t)
			}
		}
	}
	return tables, other
}

// judgeLabels judges a function of one of the builds whose labels are values.
func (d *differ) judgeLabels(c *funcChange, s *side, u *unit) {
	tables, other := s.labelTables(u)
	if other != nil {
		c.refuse("%s takes the address of a label at +%#x (computed goto) outside of a table: where it is stored, it leads into the old body; "+
			"keep labels in a static const table that only its own goto reads, or restart",
			other.Target.Atom.Name, other.Target.Off)
		return
	}
	var uses []string
	for _, t := range tables {
		readers := s.readersOf(t)
		flow := u.flowOf(t)
		switch {
		case len(readers) != 1 || readers[0] != u, len(s.holdersOf(t)) > 0, len(s.namelessHolders(t)) > 0, t.Dynamic:
			c.refuse("the labels in %s (computed goto) are not its own: others have the address of that table, which leads into the old body; "+
				"keep it to the function, or restart", t.Name)
		case flow.Escapes || flow.Returns:
			c.refuse("it passes on the address of %s, a table of labels (computed goto): who has it jumps into the old body; "+
				"keep it to the function, or restart", t.Name)
		case flow.Writes && !readOnly(t):
			c.refuse("it may write to %s, a table of labels (computed goto): what it wrote leads into the old body; make the table const, or restart", t.Name)
		case flow.Yields:
			uses = append(uses, t.Name)
		}
		if s == &d.new {
			d.labels[t] = u
		}
	}
	if len(uses) > 0 {
		c.needAck("labels:"+u.name(), "it does more with the labels in %s than to jump to them (computed goto): one that the program has stored "+
			"leads into the old body, which expects the old body's registers and frame", strings.Join(uses, ", "))
	}
}

// labelOffsets returns the offsets in a function at which data has labels: a jump may not cover them.
func (u *unit) labelOffsets() []uint32 {
	var out []uint32
	body, err := u.im.Body(u.atom())
	if err != nil {
		return nil
	}
	for i := range body.Escapes {
		if t := &body.Escapes[i].Target; t.Atom == u.atom() && t.Off > 0 {
			out = append(out, t.Off)
		}
	}
	return out
}

// branchOffsets returns the offsets in a function's entry part to which the function's own code branches, jump tables included.
func (u *unit) branchOffsets() []uint32 {
	var out []uint32
	led := func(t image.Target) {
		if t.Atom == u.atom() {
			out = append(out, t.Off)
		}
	}
	for _, part := range u.parts {
		body, err := u.im.Body(part)
		if err != nil {
			return []uint32{0} // anything may lead anywhere
		}
		for i := range body.Insts {
			if to := body.Insts[i].Target; to >= 0 {
				led(image.Target{Atom: part, Off: body.Insts[to].Off})
			}
		}
		for i := range body.Refs {
			if r := &body.Refs[i]; r.Kind == image.RefJump && (r.Place.Kind == image.PlaceSelf || r.Place.Kind == image.PlaceAtom) {
				led(image.Target{Atom: r.Place.Atom, Off: uint32(r.Place.Addend)})
			}
		}
		for _, t := range body.Tables {
			for _, e := range t.Entries {
				led(e)
			}
			for _, at := range t.Further {
				if at >= u.atom().Addr && at < u.atom().End() {
					led(image.Target{Atom: u.atom(), Off: uint32(at - u.atom().Addr)})
				}
			}
		}
	}
	return out
}

// label binds a label in a table that is carried with its function.
func (e *emitter) label(table *image.Atom, p *image.Place) (sym int, addend int64, err error) {
	u := e.d.labels[table]
	sym, ok := e.bodies[p.Atom]
	if u == nil || !ok || e.d.new.unitOf(p.Atom) != u {
		return 0, 0, fmt.Errorf("a label of %s, which is not the function that the table belongs to", p.Atom.Name)
	}
	return sym, p.Addend, nil
}

// isLabel reports whether a field of a table that is carried with its function is one of that function's labels.
func (e *emitter) isLabel(table *image.Atom, r *image.DataRef) bool {
	u := e.d.labels[table]
	if u == nil || r.Place.Kind != image.PlaceAtom || e.d.new.unitOf(r.Place.Atom) != u {
		return false
	}
	at := table.Addr + arch.ImageAddr(r.Off)
	for _, p := range u.parts {
		body, err := u.im.Body(p)
		if err != nil {
			return false
		}
		if slices.ContainsFunc(body.Escapes, func(x image.Escape) bool { return x.Inst < 0 && x.Data == at }) {
			return true
		}
	}
	return false
}
