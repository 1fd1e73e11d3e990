package truth

import (
	"bytes"
	"debug/elf"
	"sort"
)

// target is what a relocation leads to. Exactly one of ent, external, sec is set, or text is not nil.
type target struct {
	ent      *entity
	piece    int    // index in ent.pieces
	external string // name of a symbol that the program does not define
	text     []byte // content of a merged string or constant
	sec      *section
	place    uint64 // in sec
	off      int64  // as the relocation counts it; equal instructions count alike
}

// target resolves a relocation of a section.
func (p *program) target(from *section, r *reloc) target {
	s := r.sym
	if s.sec == nil || s.sec.dropped {
		if e := p.globals[s.name]; e != nil {
			return target{ent: e, off: r.addend}
		}
		return target{external: s.name, off: r.addend}
	}
	if !s.local {
		if e := p.globals[s.name]; e != nil && e.obj != s.sec.obj {
			return target{ent: e, off: r.addend} // a weak definition that gives way
		}
	}
	at := r.place(from)
	switch {
	case s.sec.texts():
		return target{text: s.sec.textAt(at)}
	case s.sec.merged():
		lo, entry := s.sec.entryAt(s, at)
		return target{text: entry, off: int64(s.value) + r.addend - int64(lo)}
	case len(s.sec.symbols) == 0:
		return target{sec: s.sec, place: uint64(max(at, 0)), off: int64(s.value) + r.addend}
	}
	x := s.sec.pieceAt(at)
	if x == nil {
		return target{sec: s.sec, place: uint64(max(at, 0)), off: int64(s.value) + r.addend}
	}
	t := target{ent: x.ent, off: int64(s.value) + r.addend - int64(x.lo)}
	for i, y := range x.ent.pieces {
		if x == y {
			t.piece = i
		}
	}
	return t
}

// textAt returns the string at an offset of a section of strings, with its NUL.
func (s *section) textAt(at int64) []byte {
	if at < 0 || at >= int64(len(s.data)) {
		return []byte{}
	}
	data := s.data[at:]
	for i := 0; i+int(s.entsize) <= len(data); i += int(s.entsize) {
		if len(bytes.Trim(data[i:i+int(s.entsize)], "\x00")) == 0 {
			return data[:i+int(s.entsize)]
		}
	}
	return data
}

// entryAt returns the entry of a section of constants that a relocation leads to, and its offset: the one that its label stands at, or else
// that holds the offset.
func (s *section) entryAt(label *symbol, at int64) (uint64, []byte) {
	if label.typ != elf.STT_SECTION {
		at = int64(label.value)
	}
	at = max(at, 0)
	lo := uint64(at) / s.entsize * s.entsize
	return lo, s.bytes(lo, min(lo+s.entsize, s.size))
}

// bytes returns a range of the section's content.
func (s *section) bytes(lo, hi uint64) []byte {
	if s.data == nil || lo > hi || hi > uint64(len(s.data)) {
		return make([]byte, hi-min(lo, hi))
	}
	return s.data[lo:hi]
}

// relocsIn returns the relocations of a range.
func (s *section) relocsIn(lo, hi uint64) []*reloc {
	i := sort.Search(len(s.relocs), func(i int) bool { return s.relocs[i].off >= lo })
	var out []*reloc
	for ; i < len(s.relocs) && s.relocs[i].off < hi; i++ {
		out = append(out, &s.relocs[i])
	}
	return out
}

// comparison compares the entities of two programs under a pairing.
type comparison struct {
	*pairing
	// open holds the constants without a name that are being compared, and those that were: where they refer to
	// each other in a ring, they are equal if nothing else differs.
	open map[[2]nameless]bool
}

type nameless struct {
	sec *section
	at  uint64
}

func newComparison(m *pairing) *comparison {
	return &comparison{pairing: m, open: make(map[[2]nameless]bool)}
}

// equal reports whether two entities have the same bytes and refer to the same things.
func (c *comparison) equal(a, b *entity) bool {
	if len(a.pieces) != len(b.pieces) {
		return false
	}
	for i, x := range a.pieces {
		y := b.pieces[i]
		if x.label != y.label || !c.rangesEqual(x.sec, x.lo, x.hi, y.sec, y.lo, y.hi) {
			return false
		}
	}
	return true
}

func (c *comparison) rangesEqual(s *section, lo, hi uint64, t *section, lo2, hi2 uint64) bool {
	if hi-lo != hi2-lo2 {
		return false
	}
	relocs, others := s.relocsIn(lo, hi), t.relocsIn(lo2, hi2)
	if len(relocs) != len(others) {
		return false
	}
	for i, r := range relocs {
		q := others[i]
		if r.off-lo != q.off-lo2 || r.family != q.family {
			return false
		}
		if !c.targetsEqual(c.old.target(s, r), c.new.target(t, q)) {
			return false
		}
	}
	return bytes.Equal(s.bytes(lo, hi), t.bytes(lo2, hi2)) // fields of relocations with addends hold zeros
}

func (c *comparison) targetsEqual(a, b target) bool {
	switch {
	case a.ent != nil && b.ent != nil:
		return a.piece == b.piece && a.off == b.off && c.same(a.ent, b.ent)
	case a.ent != nil || b.ent != nil:
		return false
	case a.text != nil || b.text != nil:
		return a.text != nil && b.text != nil && a.off == b.off && bytes.Equal(a.text, b.text)
	case a.sec != nil && b.sec != nil:
		return a.off-int64(a.place) == b.off-int64(b.place) && c.namelessEqual(a, b)
	}
	return a.sec == nil && b.sec == nil && a.external == b.external && a.off == b.off
}

// same reports whether two entities are partners, or constants that can stand for each other.
func (c *comparison) same(a, b *entity) bool {
	if c.fwd[a] == b {
		return true
	}
	return a.kind == constant && b.kind == constant && a.local && b.local && byScope(a) == byScope(b) && c.constantsEqual(a, b)
}

// constantsEqual compares two constants that are no partners. A ring of them is taken to be equal.
func (c *comparison) constantsEqual(a, b *entity) bool {
	key := [2]nameless{{a.pieces[0].sec, a.pieces[0].lo}, {b.pieces[0].sec, b.pieces[0].lo}}
	if have, ok := c.open[key]; ok {
		return have
	}
	c.open[key] = true
	c.open[key] = c.equal(a, b)
	return c.open[key]
}

// namelessEqual compares constants without a symbol, jump tables among them: each ends where the next begins that something
// refers to. Zeros behind the shorter one are padding.
func (c *comparison) namelessEqual(a, b target) bool {
	key := [2]nameless{{a.sec, a.place}, {b.sec, b.place}}
	if have, ok := c.open[key]; ok {
		return have
	}
	c.open[key] = true
	end, end2 := max(a.sec.extent(a.place), a.place), max(b.sec.extent(b.place), b.place)
	size := min(end-a.place, end2-b.place)
	c.open[key] = a.sec.padding(a.place+size, end) && b.sec.padding(b.place+size, end2) &&
		c.rangesEqual(a.sec, a.place, a.place+size, b.sec, b.place, b.place+size)
	return c.open[key]
}

// padding reports whether a range holds nothing but zeros.
func (s *section) padding(lo, hi uint64) bool {
	return len(bytes.Trim(s.bytes(lo, hi), "\x00")) == 0 && len(s.relocsIn(lo, hi)) == 0
}
