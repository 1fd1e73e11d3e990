package cli

import "hotpatch/elfdiff"

// row puts a line of the old listing beside one of the new; -1 is none.
type row struct{ old, new int }

// align puts the lines of two listings side by side: those that do the same, as many as possible in order; runs of others
// between them stand beside each other. Listings that differ in too much are side by side from the start.
func align(old, new []line) []row {
	pairs, _ := elfdiff.Align(len(old), len(new), func(i, j int) bool { return old[i].outline == new[j].outline })
	var rows []row
	i, j := 0, 0
	for _, p := range pairs {
		rows = beside(rows, i, p[0], j, p[1])
		rows = append(rows, row{p[0], p[1]})
		i, j = p[0]+1, p[1]+1
	}
	return beside(rows, i, len(old), j, len(new))
}

// beside appends the unequal lines [i, iEnd) and [j, jEnd) side by side.
func beside(rows []row, i, iEnd, j, jEnd int) []row {
	for ; i < iEnd || j < jEnd; i, j = i+1, j+1 {
		r := row{-1, -1}
		if i < iEnd {
			r.old = i
		}
		if j < jEnd {
			r.new = j
		}
		rows = append(rows, r)
	}
	return rows
}
