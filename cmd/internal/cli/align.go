package cli

// row puts a line of the old listing beside one of the new; -1 is none.
type row struct{ old, new int }

// maxCells bounds the table of [align]: 16 MiB of int32.
const maxCells = 4 << 20

// align pairs equal lines of two listings, as many as possible in order (longest common
// subsequence). Runs of unequal lines between them stand side by side. Beyond
// maxCells only the common beginning and end are paired.
func align(old, new []line) []row {
	var rows []row
	head := 0
	for head < len(old) && head < len(new) && old[head].key == new[head].key {
		rows = append(rows, row{head, head})
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(new)-head && old[len(old)-1-tail].key == new[len(new)-1-tail].key {
		tail++
	}
	endOld, endNew := len(old)-tail, len(new)-tail
	i, j := head, head
	for _, m := range common(old[head:endOld], new[head:endNew]) {
		rows = beside(rows, i, head+m.old, j, head+m.new)
		i, j = head+m.old+1, head+m.new+1
		rows = append(rows, row{i - 1, j - 1})
	}
	rows = beside(rows, i, endOld, j, endNew)
	for k := range tail {
		rows = append(rows, row{endOld + k, endNew + k})
	}
	return rows
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

// common returns the pairs of a longest common subsequence of the keys, in order.
func common(a, b []line) []row {
	if len(a) == 0 || len(b) == 0 || len(a)+1 > maxCells/(len(b)+1) {
		return nil
	}
	width := len(b) + 1
	best := make([]int32, (len(a)+1)*width) // of a[i:] and b[j:], at i*width+j
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i].key == b[j].key {
				best[i*width+j] = best[(i+1)*width+j+1] + 1
			} else {
				best[i*width+j] = max(best[(i+1)*width+j], best[i*width+j+1])
			}
		}
	}
	var out []row
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i].key == b[j].key:
			out = append(out, row{i, j})
			i, j = i+1, j+1
		case best[(i+1)*width+j] >= best[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}
