package elfdiff

import (
	"sync"

	"hotpatch/arch"
)

// lineReach is how far from a line of the table a line number may be: that of a statement which goes over several lines is its
// first or its last, while the table has those of its parts.
const lineReach = 4

// isLine reports whether an immediate that differs is a line number in both builds: it is close to
// a line that the function's own line table has (within one, FACTS.md measured 35 right ones of 35), and it moved exactly as far as that
// line did. A constant in a place that did not move is none.
func (x *explainer) isLine(a, b *instruction) bool {
	from, to := a.lits[a.imm]+a.rest, b.lits[b.imm]+b.rest
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

// halves are the registers that hold a part of a number at a place of a function: of each, the instruction that made it, as index + 1, and 0 for
// none. A line beyond 65535 is made by two instructions (movz, movk), which need not be neighbours.
type halves [64]int

// join follows the last one of a function's instructions, and adds to it what it completes, and the reverse.
func (h *halves) join(a *arch.Arch, t *token, all []instruction) {
	last := &all[len(all)-1]
	var tr arch.Transfer
	a.Transfer(&tr, t.code, t.in)
	if tr.Kind == arch.TransferInsert && last.imm >= 0 && tr.Src == tr.Dst && tr.Dst >= 0 && h[tr.Dst] > 0 {
		first := &all[h[tr.Dst]-1]
		first.rest += last.lits[last.imm]
		last.rest += first.lits[first.imm]
	}
	for r := range h {
		if tr.Writes.Has(arch.Reg(r)) {
			h[r] = 0
		}
	}
	if tr.Kind == arch.TransferConst && last.imm >= 0 && tr.Dst >= 0 {
		h[tr.Dst] = len(all)
	}
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
