package elfdiff

import (
	"crypto/sha256"
	"fmt"
	"path"
	"strings"
	"unicode"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Code is one part of a function in one build, with what a listing shows beside its instructions.
type Code struct {
	Name     string // link name
	Addr     arch.ImageAddr
	Bytes    []byte
	Fields   []patch.Field // of references
	Operands []patch.Operand
	Rows     []patch.Row // none, if there is no DWARF data
}

// Code returns both bodies of the function of a change, the entry part first. A body that one build does not have, or that
// cannot be decoded, is nil, as are those of what is no function. The ID is the change's place in Result.Changes, from 1.
func (r *Result) Code(id int) (old, new []Code) {
	if id < 1 || id > len(r.d.funcs) {
		return nil, nil
	}
	c := r.d.funcs[id-1] // functions come first in the report
	if c.old != nil {
		old = r.d.old.code(c.old)
	}
	if c.new != nil {
		new = r.d.new.code(c.new)
	}
	return old, new
}

func (s *side) code(u *unit) []Code {
	parts := parts(u)
	out := make([]Code, len(parts))
	for i := range parts {
		p := &parts[i]
		operands, rows := s.notes(u, u.parts[i])
		out[i] = Code{Name: p.Name, Addr: p.Addr, Bytes: p.Bytes, Fields: p.Fields, Operands: operands, Rows: rows}
	}
	return out
}

// notes makes the notes for the function table.
func (e *emitter) notes(funcs []patch.Func) []patch.Notes {
	d := e.d
	var out []patch.Notes
	i := 0
	for _, c := range d.funcs {
		if i == len(funcs) {
			break
		}
		if !c.heads(&funcs[i], e) {
			continue // not in the table
		}
		if c.old != nil {
			for k, p := range c.old.parts {
				operands, rows := d.old.notes(c.old, p)
				out = append(out, patch.Notes{Func: i, Old: true, Part: k, Sym: -1, Operands: operands, Rows: rows})
			}
		}
		if c.new != nil {
			for k, p := range c.new.parts {
				sym, ok := e.bodies[p]
				if !ok {
					break // refused: it could not be decoded
				}
				operands, rows := d.new.notes(c.new, p)
				out = append(out, patch.Notes{Func: i, Part: k, Sym: sym, Operands: operands, Rows: rows})
			}
		}
		i++
	}
	return out
}

// heads reports whether an entry of the function table is of this change.
func (c *funcChange) heads(f *patch.Func, e *emitter) bool {
	if c.how != f.How {
		return false
	}
	if c.old != nil {
		return c.old.atom().Addr == f.Old[0].Addr
	}
	sym, ok := e.bodies[c.new.atom()]
	return ok && sym == f.New
}

// notes says what the instructions of a part refer to, and on which lines of the source they are.
func (s *side) notes(u *unit, part *image.Atom) ([]patch.Operand, []patch.Row) {
	return s.operands(u, part), s.rows(part)
}

func (s *side) operands(u *unit, part *image.Atom) []patch.Operand {
	body, err := u.im.Body(part)
	if err != nil {
		return nil
	}
	var out []patch.Operand
	for i := range body.Refs {
		r := &body.Refs[i]
		text := s.operandText(u, part, r)
		if text == "" {
			continue
		}
		off := body.Insts[r.Inst].Off
		if n := len(out); n > 0 && out[n-1].Off == off {
			out[n-1].Text += ", " + text
			continue
		}
		out = append(out, patch.Operand{Off: off, Text: text})
	}
	return out
}

// operandText names what an operand refers to; "" where its digits say it all.
func (s *side) operandText(u *unit, part *image.Atom, r *image.Ref) string {
	p := u.placeOf(r)
	if r.Anchor {
		return ""
	}
	switch p.Kind {
	case image.PlaceNone:
		return ""
	case image.PlaceSelf:
		if p.Atom == part {
			return ""
		}
	case image.PlaceTable:
		return "jump table"
	case image.PlaceAnon:
		return s.anonText(p.Addr, r)
	case image.PlaceUnknown:
		return fmt.Sprintf("%#x", uint64(p.Addr))
	}
	return withoutControls(placeName(p))
}

// anonText shows a constant without a symbol. Texts of one spelling stand for equal content.
func (s *side) anonText(addr arch.ImageAddr, r *image.Ref) string {
	const longest = 40 // bytes of a text, or of data, that are shown
	size := s.anonSize(addr)
	if w := uint64(r.Width); w > 0 && r.Kind == image.RefMem {
		size = w
	}
	b, ok := s.im.Bytes(addr, size)
	if !ok {
		return fmt.Sprintf("%#x", uint64(addr))
	}
	if r.Width > 0 && r.Kind == image.RefMem {
		return constant(b)
	}
	sum := sha256.Sum256(b)
	if t, ok := text(b); ok {
		if len(t) <= longest {
			return fmt.Sprintf("%q", t)
		}
		sum = sha256.Sum256([]byte(t))
		return fmt.Sprintf("%q (%d bytes, #%x)", strings.ToValidUTF8(t[:longest], "")+"...", len(t), sum[:3])
	}
	if n := len(s.im.DataRefsIn(addr, addr+arch.ImageAddr(size))); n > 0 {
		return fmt.Sprintf("data of %d bytes with %d addresses", size, n)
	}
	return fmt.Sprintf("data of %d bytes, #%x", size, sum[:3])
}

// withoutControls replaces what may not stand in a patch.
func withoutControls(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// rows returns the lines of the source of a part: a row where the line changes.
func (s *side) rows(part *image.Atom) []patch.Row {
	table, err := s.im.Lines(part)
	if err != nil {
		return nil // listings then have no lines
	}
	var out []patch.Row
	for _, e := range table {
		off := uint32(0)
		if e.Addr > part.Addr { // the row in front may reach into the function
			off = uint32(e.Addr - part.Addr)
		}
		row := patch.Row{Off: off, File: withoutControls(path.Base(e.File)), Line: e.Line}
		if n := len(out); n > 0 && out[n-1].Off == off {
			out[n-1] = row // the last one counts
		} else if uint64(off) < part.Size {
			out = append(out, row)
		}
	}
	return compactRows(out)
}

// compactRows leaves out rows that say the same as the one in front.
func compactRows(rows []patch.Row) []patch.Row {
	var out []patch.Row
	for _, r := range rows {
		if n := len(out); n == 0 || out[n-1].File != r.File || out[n-1].Line != r.Line {
			out = append(out, r)
		}
	}
	return out
}
