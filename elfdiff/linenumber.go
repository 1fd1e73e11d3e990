package elfdiff

import "hotpatch/arch"

// isLine reports whether an immediate that differs is a line number in both builds. It equals, within
// one, a line that the function's own line table has (measured in FACTS.md: right in 35 of 35 cases); and it moved as far as the
// line of its own instruction did, so that a constant in a place that did not move is none.
func (x *explainer) isLine(a, b *instruction) bool {
	u, v := x.c.old, x.c.new
	from, to := a.lits[a.imm], b.lits[b.imm]
	if from <= 0 || to <= 0 || !hasLine(u, from) || !hasLine(v, to) {
		return false
	}
	p, q := u.linesAt(a), v.linesAt(b)
	if len(p) != len(q) {
		return false
	}
	for i := range p {
		if int64(q[i])-int64(p[i]) == to-from {
			return true
		}
	}
	return false
}

// linesAt returns the lines that the line table gives for an instruction: more than one where
// the compiler attributes it to several statements.
func (u *unit) linesAt(in *instruction) []int {
	part := u.parts[in.part]
	rows, err := u.im.Lines(part)
	if err != nil {
		return nil
	}
	at := part.Addr + arch.ImageAddr(in.off)
	var lines []int
	for i := range rows {
		if rows[i].Addr > at {
			break
		}
		if i > 0 && rows[i].Addr != rows[i-1].Addr {
			lines = lines[:0]
		}
		lines = append(lines, rows[i].Line)
	}
	return lines
}

// hasLine reports whether the line table of a function has a line, within one.
func hasLine(u *unit, line int64) bool {
	for _, p := range u.parts {
		rows, err := u.im.Lines(p)
		if err != nil {
			continue
		}
		for i := range rows {
			if d := int64(rows[i].Line) - line; d >= -1 && d <= 1 {
				return true
			}
		}
	}
	return false
}
