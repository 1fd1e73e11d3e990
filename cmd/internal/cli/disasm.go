package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

// line is one instruction as it is shown and compared.
type line struct {
	off     uint64 // in its part of the function
	part    string // name of the part that begins here, if it is not the first; else ""
	source  string // file:line, "" where nothing says
	text    string
	key     string // canonical bytes, and numbers that are no references
	outline string // what it does, registers and numbers aside
	operand string // what it refers to, compilers' numbers aside
	target  int    // index of the line that it jumps to; -1: none in the function
}

// lister disassembles functions for people.
type lister struct {
	arch *arch.Arch
	name func(string) string // a text with link names, as it is shown
}

// lines disassembles a body, part after part. Bytes that are no instruction are shown as such: the lister explains, it does
// not judge. Padding is left out.
func (l *lister) lines(parts []elfdiff.Code) []line {
	var out []line
	for i := range parts {
		first := len(out)
		out = append(out, l.part(&parts[i], len(out))...)
		if i > 0 && len(out) > first {
			out[first].part = parts[i].Name
		}
	}
	return out
}

// part disassembles one part, whose first line gets the index base.
func (l *lister) part(c *elfdiff.Code, base int) []line {
	var out []line
	at := make(map[int64]int)    // line by offset
	leads := make(map[int]int64) // jumps within the part: where to, by line
	notes := operandsByOffset(c.Operands)
	for off := 0; off < len(c.Bytes); {
		at[int64(off)] = base + len(out)
		inst, err := l.arch.Decode(c.Bytes[off:])
		if err != nil {
			text := fmt.Sprintf(".byte %#02x", c.Bytes[off])
			out = append(out, line{off: uint64(off), text: text, key: text, outline: text, target: -1, source: sourceAt(c.Rows, off)})
			off++
			continue
		}
		code := c.Bytes[off : off+inst.Len]
		if !l.arch.IsNop(code, &inst) {
			ln := l.instruction(c, off, &inst, notes[uint32(off)])
			if to := int64(off) + inst.Target; inst.BrSize > 0 && !isField(c.Fields, uint32(off)+uint32(inst.BrOff)) && to >= 0 && to < int64(len(c.Bytes)) {
				leads[len(out)] = to
			}
			out = append(out, ln)
		}
		off += inst.Len
	}
	for i, to := range leads {
		if k, ok := at[to]; ok {
			out[i].target = k
		}
	}
	return out
}

// instruction describes the instruction at off, which refers to what operand says.
func (l *lister) instruction(c *elfdiff.Code, off int, inst *arch.Inst, operand string) line {
	code, addr := c.Bytes[off:off+inst.Len], uint64(c.Addr)
	ln := line{off: uint64(off), target: -1, source: sourceAt(c.Rows, off), operand: comparable(operand, c.Name)}
	shown := l.name(operand)
	end := uint32(off + inst.Len)
	elsewhere := slices.ContainsFunc(c.Fields, func(f patch.Field) bool { return f.Off >= uint32(off) && f.Off < end })
	used := false
	ln.text = clean(l.arch.Text(code, addr+uint64(off), func(to uint64) (string, uint64) {
		switch {
		case operand != "":
			used = true
			return shown, to
		case !elsewhere && to >= addr && to < addr+uint64(len(c.Bytes)):
			return fmt.Sprintf("+%#x", to-addr), to // as in the column of offsets
		}
		return "", 0
	}))
	if operand != "" && !used {
		ln.text += "  <" + shown + ">"
	}
	outline, _ := l.arch.Outline(nil, code, inst)
	ln.outline = string(outline)
	ln.key = string(l.arch.Canon(nil, code, inst))
	for i := range inst.NumOps {
		if op := &inst.Ops[i]; !isField(c.Fields, uint32(off)+uint32(op.Off)) {
			ln.key += fmt.Sprint(" ", op.Value)
		}
	}
	return ln
}

var numbered = regexp.MustCompile(`\.[0-9]+\b`)

// comparable returns an operand without what differs in names of the same thing: the numbers that compilers append, and
// the distance in a part of the function itself.
func comparable(operand, function string) string {
	s := numbered.ReplaceAllString(operand, "")
	stem, _, _ := strings.Cut(function, ".")
	if rest, ok := strings.CutPrefix(s, stem+"."); ok {
		if i := strings.IndexAny(rest, "+-"); i >= 0 {
			return stem + "." + rest[:i]
		}
	}
	return s
}

func operandsByOffset(l []patch.Operand) map[uint32]string {
	m := make(map[uint32]string, len(l))
	for _, o := range l {
		m[o.Off] = o.Text
	}
	return m
}

// isField reports whether a reference's field begins at off.
func isField(fields []patch.Field, off uint32) bool {
	_, ok := slices.BinarySearchFunc(fields, off, func(f patch.Field, off uint32) int { return int(f.Off) - int(off) })
	return ok
}

// sourceAt returns the line of the source that the instruction at off is on.
func sourceAt(rows []patch.Row, off int) string {
	i, exact := slices.BinarySearchFunc(rows, off, func(r patch.Row, off int) int { return int(r.Off) - off })
	if !exact {
		i--
	}
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", rows[i].File, rows[i].Line)
}

// marks compares the lines of each row: "|" changed, "<" only old, ">" only new, " " the same.
func marks(rows []row, old, new []line) []string {
	partner := make(map[int]int) // new line by old one
	for _, r := range rows {
		if r.old >= 0 && r.new >= 0 {
			partner[r.old] = r.new
		}
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		switch {
		case r.new < 0:
			out[i] = "<"
		case r.old < 0:
			out[i] = ">"
		default:
			out[i] = " "
			if o, n := &old[r.old], &new[r.new]; o.key != n.key || o.operand != n.operand || !sameTarget(o, n, partner) {
				out[i] = "|"
			}
		}
	}
	return out
}

// sameTarget reports whether two jumps within their functions lead to instructions that stand side by side.
func sameTarget(o, n *line, partner map[int]int) bool {
	if o.target < 0 || n.target < 0 {
		return o.target == n.target
	}
	to, ok := partner[o.target]
	return ok && to == n.target
}

// oldCode returns the old body of a function of a patch, as the patch holds it.
func oldCode(p *patch.Patch, i int) []elfdiff.Code {
	f := &p.Funcs[i]
	out := make([]elfdiff.Code, len(f.Old))
	for k := range f.Old {
		part := &f.Old[k]
		out[k] = elfdiff.Code{Name: part.Name, Addr: part.Addr, Bytes: part.Bytes, Fields: part.Fields}
	}
	for k := range p.Notes {
		if n := &p.Notes[k]; n.Func == i && n.Old {
			out[n.Part].Operands, out[n.Part].Rows = n.Operands, n.Rows
		}
	}
	return out
}

// newCode returns the new body of a function of a patch. Its addresses are those of its sections: what it refers to
// stands in the notes.
func newCode(p *patch.Patch, i int) []elfdiff.Code {
	var out []elfdiff.Code
	add := func(sym int) *elfdiff.Code {
		s := &p.Symbols[sym]
		sec := &p.Sections[s.Section]
		c := elfdiff.Code{Name: s.Name, Bytes: sec.Data}
		for _, r := range sec.Relocs {
			c.Fields = append(c.Fields, patch.Field{Off: uint32(r.Off), Size: 4})
		}
		out = append(out, c)
		return &out[len(out)-1]
	}
	for k := range p.Notes {
		if n := &p.Notes[k]; n.Func == i && !n.Old {
			c := add(n.Sym)
			c.Operands, c.Rows = n.Operands, n.Rows
		}
	}
	if f := &p.Funcs[i]; len(out) == 0 && f.New >= 0 {
		add(f.New)
	}
	return out
}
