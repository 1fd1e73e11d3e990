package elfdiff

// maxEdits is the number of instructions put in or taken out up to which bodies are aligned; memory grows with its square.
const maxEdits = 1500

// alignInstructions finds which instructions of two bodies correspond, by the
// greedy algorithm of E. Myers ("An O(ND) Difference Algorithm and Its Variations",
// 1986): those that are the same but for registers, stack slots and operands. It returns in how many places instructions were put in,
// taken out or exchanged, and the pairs of indices that correspond. Bodies that differ in
// more than [maxEdits] instructions are not aligned (hunks is -1).
func alignInstructions(old, new []instruction) (hunks int, pairs [][2]int) {
	lo := 0
	for lo < len(old) && lo < len(new) && old[lo].same(&new[lo]) {
		lo++
	}
	n, m := len(old), len(new)
	for n > lo && m > lo && old[n-1].same(&new[m-1]) {
		n--
		m--
	}
	for i := range lo {
		pairs = append(pairs, [2]int{i, i})
	}
	if n > lo || m > lo {
		middle, ok := myers(old[lo:n], new[lo:m], maxEdits)
		if !ok {
			return -1, nil
		}
		at := [2]int{-1, -1}
		for _, p := range append(middle, [2]int{n - lo, m - lo}) {
			if p[0] != at[0]+1 || p[1] != at[1]+1 {
				hunks++
			}
			at = p
			if p[0] < n-lo {
				pairs = append(pairs, [2]int{lo + p[0], lo + p[1]})
			}
		}
	}
	for i := n; i < len(old); i++ {
		pairs = append(pairs, [2]int{i, i - n + m})
	}
	return hunks, pairs
}

// furthest holds, for each diagonal k from -d-1 to d+1 after d edits, the furthest x on it, at k+d+1.
type furthest []int32

func (v furthest) on(k int) int { return int(v[k+len(v)/2]) }

// myers returns the pairs of equal elements on a shortest edit path of at most limit edits.
func myers(a, b []instruction, limit int) ([][2]int, bool) {
	limit = min(limit, len(a)+len(b))
	v := make(furthest, 2*limit+3)
	mid := len(v) / 2
	var trace []furthest
	for d := 0; d <= limit; d++ {
		trace = append(trace, append(furthest(nil), v[mid-d-1:mid+d+2]...))
		for k := -d; k <= d; k += 2 {
			x := step(v, k, d)
			y := x - k
			for x < len(a) && y < len(b) && a[x].same(&b[y]) {
				x++
				y++
			}
			v[mid+k] = int32(x)
			if x >= len(a) && y >= len(b) {
				return backtrack(trace, len(a), len(b)), true
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
