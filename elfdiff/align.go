package elfdiff

// maxEdits is the number of elements put in or taken out up to which sequences are aligned; memory grows with its square.
const maxEdits = 1500

// Align finds which elements of two sequences of lengths n and m correspond, by the
// greedy algorithm of E. Myers ("An O(ND) Difference Algorithm and Its Variations",
// 1986): as many as possible for which same holds, in order. It is false for sequences that differ in
// more than a bounded number of elements.
func Align(n, m int, same func(i, j int) bool) (pairs [][2]int, ok bool) {
	lo := 0
	for lo < n && lo < m && same(lo, lo) {
		lo++
	}
	end, endNew := n, m
	for end > lo && endNew > lo && same(end-1, endNew-1) {
		end--
		endNew--
	}
	for i := range lo {
		pairs = append(pairs, [2]int{i, i})
	}
	middle, ok := myers(end-lo, endNew-lo, maxEdits, func(i, j int) bool { return same(lo+i, lo+j) })
	if !ok {
		return nil, false
	}
	for _, p := range middle {
		pairs = append(pairs, [2]int{lo + p[0], lo + p[1]})
	}
	for i := end; i < n; i++ {
		pairs = append(pairs, [2]int{i, i - end + endNew})
	}
	return pairs, true
}

// alignInstructions finds which instructions of two bodies correspond: those that are the same but for registers, stack slots and
// operands. It returns in how many places instructions were put in, taken out or exchanged, and the pairs of indices that correspond.
// Bodies that differ in more than [maxEdits] instructions are not aligned (hunks is -1).
func alignInstructions(old, new []instruction) (hunks int, pairs [][2]int) {
	pairs, ok := Align(len(old), len(new), func(i, j int) bool { return old[i].same(&new[j]) })
	if !ok {
		return -1, nil
	}
	return len(between(pairs, len(old), len(new))), pairs
}

// furthest holds, for each diagonal k from -d-1 to d+1 after d edits, the furthest x on it, at k+d+1.
type furthest []int32

func (v furthest) on(k int) int { return int(v[k+len(v)/2]) }

// myers returns the pairs of equal elements on a shortest edit path of at most limit edits.
func myers(n, m, limit int, same func(i, j int) bool) ([][2]int, bool) {
	limit = min(limit, n+m)
	v := make(furthest, 2*limit+3)
	mid := len(v) / 2
	var trace []furthest
	for d := 0; d <= limit; d++ {
		trace = append(trace, append(furthest(nil), v[mid-d-1:mid+d+2]...))
		for k := -d; k <= d; k += 2 {
			x := step(v, k, d)
			y := x - k
			for x < n && y < m && same(x, y) {
				x++
				y++
			}
			v[mid+k] = int32(x)
			if x >= n && y >= m {
				return backtrack(trace, n, m), true
			}
		}
	}
	return nil, false
}

// step returns where diagonal k begins after one more edit.
func step(v furthest, k, d int) int {
	down, right := v.on(k+1), v.on(k-1)+1
	if k == -d || k != d && right-1 < down {
		return down
	}
	return right
}

func backtrack(trace []furthest, x, y int) [][2]int {
	var pairs [][2]int
	for d := len(trace) - 1; d >= 0; d-- {
		v := trace[d]
		k := x - y
		start := 0
		if d > 0 {
			start = step(v, k, d)
		}
		for x > start && x > 0 && y > 0 && (d > 0 || x > 0) {
			x--
			y--
			pairs = append(pairs, [2]int{x, y})
		}
		if d == 0 {
			break
		}
		if k == -d || k != d && v.on(k-1) < v.on(k+1) {
			y-- // an insertion
		} else {
			x-- // a deletion
		}
	}
	for i, j := 0, len(pairs)-1; i < j; i, j = i+1, j-1 {
		pairs[i], pairs[j] = pairs[j], pairs[i]
	}
	return pairs
}
