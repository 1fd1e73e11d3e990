package elfdiff

import "sync"

// lineReach is how far from a line of the table a line number may be: that of a statement which goes over several lines is its
// first or its last, while the table has those of its parts.
const lineReach = 4

// isLine reports whether an immediate that differs is a line number in both builds: it is close to
// a line that the function's own line table has (within one, FACTS.md measured 35 right ones of 35), and it moved exactly as far as that
// line did. A constant in a place that did not move is none.
func (x *explainer) isLine(a, b *instruction) bool {
	from, to := a.lits[a.imm], b.lits[b.imm]
	if from <= 0 || to <= 0 || from == to {
		return false
	}
	p, q := x.lineRows()
	for i := range p {
		line, moved := int64(p[i]), int64(q[i])-int64(p[i])
		if d := line - from; d >= -lineReach && d <= lineReach && moved == to-from {
			return true
		}
	}
	return false
}

// lineRows returns the lines of both bodies, row by row, where the tables have equally many rows: bodies of
// equal instructions have.
func (x *explainer) lineRows() (old, new []int) {
	if x.rows == nil {
		x.rows = &[2][]int{}
		var wg sync.WaitGroup // reading the tables takes most of the time
		wg.Go(func() { x.rows[0] = x.c.old.lines() })
		x.rows[1] = x.c.new.lines()
		wg.Wait()
	}
	if len(x.rows[0]) != len(x.rows[1]) {
		return nil, nil
	}
	return x.rows[0], x.rows[1]
}

// lines returns the lines of a function's line table in the order of their addresses; nil if there is none.
func (u *unit) lines() []int {
	var lines []int
	for _, p := range u.parts {
		rows, err := u.im.Lines(p)
		if err != nil {
			return nil
		}
		for i := range rows {
			lines = append(lines, rows[i].Line)
		}
	}
	return lines
}
