package patch

import (
	"cmp"
	"fmt"
)

// Notes are what a listing of one part of a function shows beside its instructions. Nothing is applied by them.
type Notes struct {
	Func     int  // index in Patch.Funcs
	Old      bool // of the old body; else of the new one
	Part     int  // Old: index in Func.Old; else counted from 0, the entry part first
	Sym      int  // the payload's symbol of a part of the new body; -1 for the old one
	Operands []Operand
	Rows     []Row
}

// Operand says what an instruction refers to.
type Operand struct {
	Off  uint32 // of the instruction, from the start of the part
	Text string // a link name, with an addend if there is one, or the content of a constant: "foo", 1.5
}

// Row says from which instruction on code belongs to a line of the source.
type Row struct {
	Off  uint32 // of the instruction, from the start of the part
	File string // base name
	Line int    // from 1
}

// Limits of notes.
const (
	maxNotes = maxFuncs
	maxLine  = 1 << 31
)

// texts numbers strings in the order in which they are first used.
type texts struct {
	index map[string]int
	list  []string
}

func (t *texts) add(s string) uint64 {
	i, ok := t.index[s]
	if !ok {
		i = len(t.list)
		t.index[s] = i
		t.list = append(t.list, s)
	}
	return uint64(i)
}

// encodeNotes writes the strings, then the notes, which refer to them.
func (p *Patch) encodeNotes() []byte {
	var body encoder
	t := &texts{index: make(map[string]int)}
	body.uint(uint64(len(p.Notes)))
	for i := range p.Notes {
		n := &p.Notes[i]
		body.uint(uint64(n.Func))
		body.bool(n.Old)
		body.uint(uint64(n.Part))
		body.uint(uint64(n.Sym + 1))
		body.uint(uint64(len(n.Operands)))
		off := uint32(0)
		for _, o := range n.Operands {
			body.uint(uint64(o.Off - off)) // validated to be ascending
			body.uint(t.add(o.Text))
			off = o.Off
		}
		body.uint(uint64(len(n.Rows)))
		off = 0
		line := 0
		for _, r := range n.Rows {
			body.uint(uint64(r.Off - off))
			body.uint(t.add(r.File))
			body.int(int64(r.Line - line))
			off, line = r.Off, r.Line
		}
	}
	var e encoder
	e.uint(uint64(len(t.list)))
	for _, s := range t.list {
		e.str(s)
	}
	e.raw(body.b)
	return e.b
}

func (p *Patch) decodeNotes(d *decoder, where *locator) error {
	if len(d.b) > maxReport {
		d.fail("section is too large", uint64(len(d.b)))
		return d.done()
	}
	list := make([]string, d.count(maxFields, 1, "texts"))
	for i := range list {
		list[i] = d.str()
	}
	text := func() string {
		at := d.off
		i := d.uint()
		if d.err != nil {
			return ""
		}
		if i >= uint64(len(list)) {
			d.off = at
			d.fail("no such text", i)
			return ""
		}
		return list[i]
	}
	if n := d.count(maxNotes, 6, "notes"); n > 0 {
		p.Notes = make([]Notes, n)
	}
	for i := range p.Notes {
		where.record(tabNotes, d.pos())
		n := &p.Notes[i]
		n.Func = int(d.max(maxFuncs, "function index"))
		n.Old = d.bool()
		n.Part = int(d.max(maxParts, "number of a part"))
		n.Sym = int(d.max(maxSymbols, "symbol index")) - 1
		d.operands(n, text)
		d.rows(n, text)
	}
	return d.done()
}

// step reads a distance from the offset before.
func (d *decoder) step(off *uint64) uint32 {
	if *off += d.max(maxOffset, "distance of an instruction"); *off > maxOffset {
		d.fail("offset of an instruction is too large", *off)
	}
	return uint32(*off)
}

// maxOffset bounds the offsets in notes, in bytes.
const maxOffset = 1 << 31

func (d *decoder) operands(n *Notes, text func() string) {
	if k := d.count(maxFields, 2, "operands"); k > 0 {
		n.Operands = make([]Operand, k)
	}
	off := uint64(0)
	for i := range n.Operands {
		n.Operands[i] = Operand{Off: d.step(&off), Text: text()}
	}
}

func (d *decoder) rows(n *Notes, text func() string) {
	if k := d.count(maxFields, 3, "rows"); k > 0 {
		n.Rows = make([]Row, k)
	}
	off, line := uint64(0), int64(0)
	for i := range n.Rows {
		r := Row{Off: d.step(&off), File: text()}
		by := d.int()
		if line += by; line < 1 || line > maxLine || by > maxLine || by < -maxLine {
			d.fail("line of the source", uint64(line))
			return
		}
		r.Line = int(line)
		n.Rows[i] = r
	}
}

// notes checks that notes are in order, each of a part that is there, and that what they say lies within it.
func (c *checker) notes() error {
	if len(c.Notes) > maxNotes {
		return &defect{place{tabNotes, 0, 0}, "", "too many notes", len(c.Notes)}
	}
	for i := range c.Notes {
		n := &c.Notes[i]
		size, msg := c.noteSize(n)
		var val any
		if msg == "" && i > 0 && !notesInOrder(&c.Notes[i-1], n) {
			msg = "out of order, or a second entry for one part"
		}
		if msg == "" {
			msg, val = n.check(size)
		}
		if msg != "" {
			return &defect{place{tabNotes, i, 0}, "", msg, val}
		}
	}
	return nil
}

// notesInOrder: by function, the old body first, by part.
func notesInOrder(a, b *Notes) bool {
	rank := func(n *Notes) int {
		if n.Old {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Func, b.Func), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Part, b.Part)) < 0
}

// noteSize returns the bytes of the part that notes are for, or what is wrong with their reference to it.
func (c *checker) noteSize(n *Notes) (size uint64, msg string) {
	if n.Func < 0 || n.Func >= len(c.Funcs) {
		return 0, "no such function"
	}
	f := &c.Funcs[n.Func]
	switch {
	case n.Part < 0 || n.Part >= maxParts:
		return 0, "no such part"
	case n.Old && (n.Sym != -1 || n.Part >= len(f.Old)):
		return 0, "no such part of the old body"
	case n.Old:
		return f.Old[n.Part].Size, ""
	case n.Sym < 0 || n.Sym >= len(c.Symbols) || n.Part == 0 && n.Sym != f.New:
		return 0, "no such part of the new body"
	}
	s := &c.Symbols[n.Sym]
	if s.Kind != SymDefined || !s.Func || s.Value != 0 {
		return 0, "a part of the new body is no function of the payload"
	}
	return s.Size, ""
}

// check holds notes against the size of their part.
func (n *Notes) check(size uint64) (string, any) {
	if len(n.Operands) > maxFields || len(n.Rows) > maxFields {
		return "too many operands or rows", nil
	}
	next := uint64(0) // the least offset that may follow
	for _, o := range n.Operands {
		if msg := badString(o.Text); msg != "" || o.Text == "" {
			return fmt.Sprintf("operand: text is empty, or bad: %s", msg), nil
		}
		if uint64(o.Off) < next || uint64(o.Off) >= size {
			return "operand is out of order, or past the end", uint64(o.Off)
		}
		next = uint64(o.Off) + 1
	}
	next = 0
	for _, r := range n.Rows {
		if msg := badString(r.File); msg != "" {
			return msg, nil
		}
		if r.Line < 1 || r.Line > maxLine {
			return "line of the source", r.Line
		}
		if uint64(r.Off) < next || uint64(r.Off) >= size {
			return "row is out of order, or past the end", uint64(r.Off)
		}
		next = uint64(r.Off) + 1
	}
	return "", nil
}
