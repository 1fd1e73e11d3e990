package elfdiff

import (
	"fmt"
	"slices"
	"strconv"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// maxReasons is how many reasons are written out for one function.
const maxReasons = 8

// explain finds the reasons of a change, and whether it is in line numbers only.
func (d *differ) explain(c *funcChange) {
	switch c.how {
	case patch.Added:
		c.because(patch.ReasonAdded, nil, "only the new build has it")
		return
	case patch.Removed:
		c.because(patch.ReasonRemoved, nil, "only the old build has it")
		return
	}
	if c.moved != "" {
		c.because(patch.ReasonData, nil, "reads %s, which has a new place", c.moved)
	}
	if c.closure || len(c.reasons) > 0 && c.moved == "" {
		return // nothing that its instructions show
	}
	if c.old.err != nil || c.new.err != nil {
		c.because(patch.ReasonUnknown, nil, "its bytes differ, or it moved, and it cannot be decoded")
		return
	}
	x := &explainer{d: d, c: c}
	x.old, x.new = instructions(c.old), instructions(c.new)
	x.compare()
	c.line = x.lineOnly() && c.moved == ""
	for _, s := range x.reasons() {
		c.because(patch.ReasonOwn, nil, "%s", s)
	}
}

// instruction is a token that outlives the walk over its unit.
type instruction struct {
	code  string // canonical bytes
	local int
	table bool // the literals are a jump table's targets
	lits  []int64
	imm   int // index in lits of an immediate that could be a line number, or -1
	refs  []*image.Ref
	part  int
	off   uint32
}

func instructions(u *unit) []instruction {
	out := make([]instruction, 0, u.count)
	u.tokens(func(t *token) {
		in := instruction{code: string(t.canon), local: t.local, table: t.table, imm: -1, part: t.part, off: t.off,
			lits: append([]int64(nil), t.lits...), refs: append([]*image.Ref(nil), t.refs...)}
		if t.in.NumOps == 1 && len(t.lits) == 1 && t.in.Ops[0].Kind == arch.OpImm && !t.in.Ops[0].Arith {
			in.imm = 0
		}
		out = append(out, in)
	})
	return out
}

// explainer compares two bodies of one function, instruction by instruction.
type explainer struct {
	d        *differ
	c        *funcChange
	old, new []instruction

	own     int              // places where instructions differ; -1: too many to count
	places  []arch.ImageAddr // in the new body, where instructions differ
	inlines []image.Inline   // of the new body, once they were asked for
	rows    *[2][]int        // lines of both bodies, once they were asked for
	moved   bool             // branches lead elsewhere
	lines   []string         // "line 12 -> 13"
	others  []string         // operands that differ, in words
}

// compare aligns the two bodies. Operands are only described where the bodies are much alike: what
// the alignment brings together in others need not belong together.
func (x *explainer) compare() {
	const clearly = 6 // places
	hunks, aligned := alignInstructions(x.old, x.new)
	x.own = hunks
	if hunks > 0 {
		x.findPlaces(aligned)
	}
	for _, p := range aligned {
		a, b := &x.old[p[0]], &x.new[p[1]]
		if hunks == 0 && a.local != b.local {
			x.moved = true
		}
		if hunks >= 0 && hunks <= clearly {
			x.operands(a, b)
		}
	}
}

// findPlaces notes the address in the new body of each place where instructions differ.
func (x *explainer) findPlaces(aligned [][2]int) {
	i, j := 0, 0
	for _, p := range append(aligned, [2]int{len(x.old), len(x.new)}) {
		if (p[0] != i || p[1] != j) && j < len(x.new) {
			in := &x.new[j]
			x.places = append(x.places, x.c.new.parts[in.part].Addr+arch.ImageAddr(in.off))
		}
		i, j = p[0]+1, p[1]+1
	}
}

// operands compares what two instructions of the same form work on.
func (x *explainer) operands(a, b *instruction) {
	for i := range min(len(a.lits), len(b.lits)) {
		if a.lits[i] == b.lits[i] || a.table && b.table {
			continue
		}
		if i == a.imm && i == b.imm && x.isLine(a, b) {
			x.lines = append(x.lines, fmt.Sprintf("line %d -> %d", a.lits[i], b.lits[i]))
			continue
		}
		x.add("constant %s -> %s", number(a.lits[i]), number(b.lits[i]))
	}
	switch {
	case a.table && b.table && len(a.lits) != len(b.lits):
		x.add("a jump table of another size")
	case a.table && b.table && x.own == 0 && !slices.Equal(a.lits, b.lits):
		x.add("a jump table that leads elsewhere")
	case len(a.lits) != len(b.lits):
		x.add("a number where an address was, or the reverse")
	}
	for i := range min(len(a.refs), len(b.refs)) {
		r, s := a.refs[i], b.refs[i]
		if !x.d.placesEqual(x.c.old.placeOf(r), x.c.new.placeOf(s), useOf(r.Kind, r.Width, s.Width)) {
			x.add("%s", x.d.describe(r, s))
		}
	}
	if len(a.refs) != len(b.refs) {
		x.add("an address where a number was, or the reverse")
	}
}

func (x *explainer) add(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	for _, have := range x.others {
		if have == s {
			return
		}
	}
	x.others = append(x.others, s)
}

func number(v int64) string {
	if v > -4096 && v < 65536 {
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprintf("%#x", uint64(v))
}

// lineOnly reports whether nothing but line numbers differs.
func (x *explainer) lineOnly() bool {
	return x.own == 0 && !x.moved && len(x.others) == 0 && len(x.lines) > 0 && sameGaps(x.c.old, x.c.new)
}

func (x *explainer) reasons() []string {
	if x.lineOnly() {
		return []string{"line numbers only"}
	}
	var out []string
	own, inlined := x.inlinedReasons()
	switch {
	case x.own < 0:
		out = append(out, "own code")
	case own > 0:
		out = append(out, "own code ("+places(own)+")")
	case x.moved:
		out = append(out, "own code (branches)")
	}
	out = append(out, inlined...)
	for i, s := range x.others {
		if i == maxReasons {
			out = append(out, fmt.Sprintf("and %d more", len(x.others)-i))
			break
		}
		out = append(out, s)
	}
	if len(out) == 0 && x.own == 0 {
		out = append(out, "what it catches, data among its code, or what could follow its jump table")
	}
	return out
}

// describe says in words how two operands differ.
func (d *differ) describe(r, s *image.Ref) string {
	p, q := &r.Place, &s.Place
	if p.Kind == image.PlaceAnon && q.Kind == image.PlaceAnon {
		return d.describeAnon(r, s)
	}
	verb := "refers to"
	if s.Kind == image.RefCall || s.Kind == image.RefJump {
		verb = "calls"
	}
	return fmt.Sprintf("%s %s instead of %s", verb, placeName(q), placeName(p))
}

func (d *differ) describeAnon(r, s *image.Ref) string {
	p, q := &r.Place, &s.Place
	x, ok1 := d.old.im.Bytes(p.Addr, d.old.anon(p.Addr).Size)
	y, ok2 := d.new.im.Bytes(q.Addr, d.new.anon(q.Addr).Size)
	if !ok1 || !ok2 {
		return "a constant"
	}
	if r.Width == 0 && s.Width == 0 {
		a, ok1 := text(x)
		b, ok2 := text(y)
		if ok1 && ok2 && a != b {
			return fmt.Sprintf("string %s -> %s", quote(a), quote(b))
		}
	}
	if w := int(min(r.Width, s.Width)); w > 0 && w <= len(x) && w <= len(y) {
		return fmt.Sprintf("constant %s -> %s", constant(x[:w]), constant(y[:w]))
	}
	return "the content of a constant without a name"
}

func quote(s string) string {
	const longest = 60
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return strconv.Quote(s)
}

func placeName(p *image.Place) string {
	var name string
	switch p.Kind {
	case image.PlaceAtom, image.PlaceTLS, image.PlaceSelf:
		if p.Atom == nil {
			name = fmt.Sprintf("thread-local %#x", uint64(p.Addr))
		} else {
			name = p.Atom.Name
		}
		if p.Import != nil {
			name = p.Import.Name
		}
	case image.PlaceImport:
		name = p.Import.Name
	case image.PlaceLinker:
		name = p.Linker
	default:
		return fmt.Sprintf("%s data at %#x", p.Kind, uint64(p.Addr))
	}
	if p.Addend != 0 {
		name = fmt.Sprintf("%s%+d", name, p.Addend)
	}
	return name
}

// contentReason says what changed in a constant.
func (d *differ) contentReason(o *objChange) string {
	if o.old.Size != o.new.Size {
		return fmt.Sprintf("size %d -> %d", o.old.Size, o.new.Size)
	}
	x, _ := d.old.im.Bytes(o.old.Addr, o.old.Size)
	y, _ := d.new.im.Bytes(o.new.Addr, o.new.Size)
	if s, ok := text(x); ok {
		if t, ok := text(y); ok && s != t {
			return fmt.Sprintf("string %s -> %s", quote(s), quote(t))
		}
	}
	for i := range x {
		if i < len(y) && x[i] != y[i] {
			return fmt.Sprintf("content differs from offset %d on", i)
		}
	}
	return "an address in it leads elsewhere"
}
