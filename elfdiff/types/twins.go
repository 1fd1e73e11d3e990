package types

import (
	"slices"
	"strings"
)

// Twin is a function or a variable that both builds describe in the same words.
type Twin struct {
	Old, New uint64 // image addresses; of a thread-local variable offsets in the template
	TLS      bool
}

// twins goes through two units at once, one of each build, and collects what they describe.
type twins struct {
	r         *reader // bounds the work
	old, new  *unit
	a, b      string // the bytes of both units
	off       int    // in both
	plans     plans
	texts     [1 << 10][2]uint32 // offsets in .debug_str, plus 1, of texts that are equal
	funcs     []Twin
	variables []Twin
	low       [2]value // of the function that is being read
	ranges    [2]value
}

// same reports whether two units say the same of types: entry by entry, but for addresses, lines and the places of texts. Then references within
// the units lead to the same, too, because they are distances from the unit's start. A unit that is malformed is like no other.
func (w *twins) same(x, y *unit) bool {
	w.old, w.new = x, y
	size := x.end - x.start
	plain := func(u *unit) bool { return u.word == 4 && u.addrSize == 8 }
	if y.end-y.start != size || !plain(x) || !plain(y) || x.version != y.version || x.kind != y.kind || !w.open() {
		return false
	}
	_, old := x.file.section(x.space)
	_, new := y.file.section(y.space)
	w.a, w.b = old[x.start:x.end], new[y.start:y.end]
	w.plans.prepare(x.table)
	funcs, variables := len(w.funcs), len(w.variables)
	if !w.entries() {
		w.funcs, w.variables = w.funcs[:funcs], w.variables[:variables]
		return false
	}
	return true
}

// open reads the abbreviations of both units, which must say the same, and their first entries.
func (w *twins) open() bool {
	x, y := w.old, w.new
	var size int
	if x.table, size = w.table(x); x.table == nil {
		return false
	}
	if y.abbrevs <= uint64(len(y.file.Abbrev)) && strings.HasPrefix(y.file.Abbrev[y.abbrevs:], x.file.Abbrev[x.abbrevs:][:size]) {
		y.table = x.table
	} else if y.table, _ = w.table(y); y.table == nil || !slices.EqualFunc(x.table.dense, y.table.dense, alikeAbbrev) {
		return false
	}
	return x.open() == nil && y.open() == nil && x.tag == y.tag
}

// table reads the abbreviations of a unit and returns how many bytes they take; nil: they are malformed, or not numbered from 1.
func (w *twins) table(u *unit) (*abbrevs, int) {
	if u.abbrevs > uint64(len(u.file.Abbrev)) {
		return nil, 0
	}
	c := &cursor{s: u.file.Abbrev, off: int(u.abbrevs)}
	t := readAbbrevs(c)
	size := c.off - int(u.abbrevs)
	if c.err != nil || t.others != nil || w.r.spend(uint64(size)) != nil {
		return nil, 0
	}
	return t, size
}

// alikeAbbrev reports whether entries of two abbreviations are alike if their bytes are. Lines may stand in the abbreviation
// (DW_FORM_implicit_const), and do not count.
func alikeAbbrev(a, b abbrev) bool {
	return a.tag == b.tag && a.children == b.children && slices.EqualFunc(a.attrs, b.attrs, func(x, y attribute) bool {
		return x.name == y.name && x.form == y.form && (x.implicit == y.implicit || !matters(a.tag, x.name))
	})
}

// entries compares the entries of both units.
func (w *twins) entries() bool {
	w.off = w.old.first - w.old.start
	for depth, first := 0, true; w.off < len(w.a); first = false {
		code, ok := w.code()
		switch {
		case !ok:
			return false
		case code == 0:
			if depth--; depth <= 0 {
				return depth == 0 // what follows the last entry is padding
			}
			continue
		case code > uint64(len(w.plans.list)):
			return false
		}
		p := &w.plans.list[code-1]
		if p.tag == tagSubprogram {
			w.low, w.ranges = [2]value{}, [2]value{}
		}
		for i := p.first; i < p.last; i++ {
			if !w.step(&w.plans.steps[i]) {
				return false
			}
		}
		if p.tag == tagSubprogram && !first && !w.function() {
			return false
		}
		if p.children {
			depth++
		}
		if depth == 0 {
			return true
		}
	}
	return false
}

// code reads the code of an abbreviation, or another number, that must be the same in both.
func (w *twins) code() (uint64, bool) {
	if w.off < len(w.a) && w.a[w.off] < 0x80 {
		v := w.a[w.off]
		w.off++
		return uint64(v), v == w.b[w.off-1]
	}
	c := cursor{s: w.a, off: w.off}
	v := c.uleb()
	ok := c.err == nil && w.a[w.off:c.off] == w.b[w.off:c.off]
	w.off = c.off
	return v, ok
}

// step passes over a part of an entry, and reports whether it is the same in both units.
func (w *twins) step(s *step) bool {
	at := w.off
	switch s.do {
	case stepSkip, stepSame:
		if int(s.size) > len(w.a)-at {
			return false
		}
		w.off += int(s.size)
		return s.do == stepSkip || w.a[at:w.off] == w.b[at:w.off]
	case stepBlock:
		n, ok := w.code()
		if !ok || n > uint64(len(w.a)-w.off) {
			return false
		}
		w.off += int(n)
		return true
	case stepText:
		return w.text()
	}
	return w.value(s)
}

// text compares two texts in .debug_str.
func (w *twins) text() bool {
	at := w.off
	if w.off += 4; w.off > len(w.a) {
		return false
	}
	p, q := uint32(number(w.a[at:w.off])), uint32(number(w.b[at:w.off]))
	known := &w.texts[p%uint32(len(w.texts))]
	if *known == [2]uint32{p + 1, q + 1} {
		return true
	}
	x, y := strAt(w.old.file.Str, uint64(p)), strAt(w.new.file.Str, uint64(q))
	if x != y || w.r.spend(uint64(len(x))) != nil {
		return false
	}
	*known = [2]uint32{p + 1, q + 1}
	return true
}

// number reads a little-endian number.
func number(s string) uint64 {
	c := cursor{s: s}
	return c.fixed(len(s))
}

// value compares values of any form.
func (w *twins) value(s *step) bool {
	var v [2]value
	var end [2]int
	for i, u := range [...]*unit{w.old, w.new} {
		name, data := u.file.section(u.space)
		c := cursor{section: name, s: data[:u.end], off: u.start + w.off}
		v[i] = u.value(&c, &s.attr)
		if end[i] = c.off - u.start; c.err != nil {
			return false
		}
		if v[i].class == classRef && v[i].n != 0 {
			v[i].n -= uint64(makeRef(u.space, uint64(u.start)))
		}
	}
	if end[0] != end[1] || w.r.spend(uint64(len(v[0].s))) != nil {
		return false
	}
	w.off = end[0]
	switch s.do {
	case stepValue:
		return v[0] == v[1]
	case stepLow:
		w.low = v
	case stepRanges:
		w.ranges = v
	case stepLocation:
		return w.variable(v[0], v[1])
	}
	return true
}

// variable enters a variable that has static storage in both units, and reports whether it has so in both or in neither.
func (w *twins) variable(x, y value) bool {
	if x.class != classBlock || y.class != classBlock {
		return x.class == y.class
	}
	old, oldTLS, ok := w.old.static(x.s)
	new, newTLS, also := w.new.static(y.s)
	if ok != also || oldTLS != newTLS || (old == 0) != (new == 0) && !oldTLS {
		return false
	}
	if ok && (old != 0 || oldTLS) {
		w.variables = append(w.variables, Twin{old, new, oldTLS})
	}
	return true
}

// function enters a function that has code in both units, and reports whether it has so in both or in neither.
func (w *twins) function() bool {
	old, ok := w.old.entryOf(&w.low[0], &w.ranges[0])
	new, also := w.new.entryOf(&w.low[1], &w.ranges[1])
	if ok && also {
		w.funcs = append(w.funcs, Twin{Old: old, New: new})
	}
	return ok == also
}
