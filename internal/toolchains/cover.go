package toolchains

import (
	"math/rand/v2"
	"strings"
)

// Row is one combination: the index of a value for each axis.
type Row []int

// pair is a value of one axis with a value of another one; the first axis comes first.
type pair struct{ axis1, value1, axis2, value2 int }

// cover is the state of the search for a covering array.
type cover struct {
	axes  []Axis
	rules []Row // exclusions: -1 where any value matches
	rng   *rand.Rand
}

// Cover returns combinations in which every pair of values of two axes occurs that some combination
// without an exclusion has, and how many pairs there are. The same seed gives the same combinations.
//
// It is greedy: each row starts from a pair that is not covered yet, and takes for one axis after the other the value that covers most;
// of several such rows, with the axes in random order, the best one stays.
func Cover(axes []Axis, exclusions []Exclusion, seed uint64) (rows []Row, pairs int) {
	c := &cover{axes: axes, rng: rand.New(rand.NewPCG(seed, 1))}
	for _, e := range exclusions {
		c.rules = append(c.rules, c.rule(e))
	}
	open := c.feasible()
	pairs = len(open)
	for len(open) > 0 {
		row := c.next(open)
		for i := range row {
			for j := i + 1; j < len(row); j++ {
				delete(open, pair{i, row[i], j, row[j]})
			}
		}
		rows = append(rows, row)
	}
	return rows, pairs
}

// rule turns an exclusion into a row. Values that no axis has (because they were dropped) exclude nothing.
func (c *cover) rule(e Exclusion) Row {
	r := c.empty()
	found := 0
	for i, a := range c.axes {
		for k, v := range a.Values {
			if name, ok := e.Values[a.Name]; ok && name == v.Name {
				r[i] = k
				found++
			}
		}
	}
	if found < len(e.Values) {
		return nil
	}
	return r
}

// empty returns a row in which nothing is chosen.
func (c *cover) empty() Row {
	r := make(Row, len(c.axes))
	for i := range r {
		r[i] = -1
	}
	return r
}

// allowed reports whether no exclusion holds for what is chosen in a row so far.
func (c *cover) allowed(r Row) bool {
	for _, rule := range c.rules {
		hit := rule != nil
		for i, v := range rule {
			hit = hit && (v < 0 || v == r[i])
		}
		if hit {
			return false
		}
	}
	return true
}

// feasible lists the pairs that some whole row has.
func (c *cover) feasible() map[pair]bool {
	open := make(map[pair]bool)
	for i := range c.axes {
		for j := i + 1; j < len(c.axes); j++ {
			for v := range c.axes[i].Values {
				for w := range c.axes[j].Values {
					r := c.empty()
					r[i], r[j] = v, w
					if c.complete(r, 0) {
						open[pair{i, v, j, w}] = true
					}
				}
			}
		}
	}
	return open
}

// complete chooses values for all axes from the given one on that have none, by trying. It reports whether there are any.
func (c *cover) complete(r Row, axis int) bool {
	if !c.allowed(r) {
		return false
	}
	for ; axis < len(r); axis++ {
		if r[axis] >= 0 {
			continue
		}
		for v := range c.axes[axis].Values {
			r[axis] = v
			if c.complete(r, axis+1) {
				return true
			}
		}
		r[axis] = -1
		return false
	}
	return true
}

// next returns a row that covers many open pairs, and at least one.
func (c *cover) next(open map[pair]bool) Row {
	const attempts = 40
	first := c.first(open)
	var best Row
	most := 0
	for range attempts {
		r := c.empty()
		r[first.axis1], r[first.axis2] = first.value1, first.value2
		gain := 1
		for _, axis := range c.rng.Perm(len(r)) {
			if r[axis] < 0 {
				gain += c.choose(r, axis, open)
			}
		}
		if gain > most {
			best, most = r, gain
		}
	}
	return best
}

// first returns the first open pair in the order of the axes.
func (c *cover) first(open map[pair]bool) pair {
	for i := range c.axes {
		for j := i + 1; j < len(c.axes); j++ {
			for v := range c.axes[i].Values {
				for w := range c.axes[j].Values {
					if p := (pair{i, v, j, w}); open[p] {
						return p
					}
				}
			}
		}
	}
	panic("toolchains: no pair is open") // Precondition of next.
}

// choose sets one axis of a row to the value that covers most open pairs with those that are set, among the values with
// which the row can be completed. It returns how many it covers.
func (c *cover) choose(r Row, axis int, open map[pair]bool) int {
	best, most := -1, -1
	for _, v := range c.rng.Perm(len(c.axes[axis].Values)) {
		r[axis] = v
		n := 0
		for other, w := range r {
			p := pair{axis, v, other, w}
			if other < axis {
				p = pair{other, w, axis, v}
			}
			if open[p] {
				n++
			}
		}
		if n > most && c.complete(append(Row(nil), r...), 0) {
			best, most = v, n
		}
	}
	r[axis] = best
	return most
}

// value returns what a row has chosen on an axis.
func (r Row) value(axes []Axis, axis string) *Value {
	for i := range axes {
		if axes[i].Name == axis {
			return &axes[i].Values[r[i]]
		}
	}
	panic("toolchains: no axis " + axis) // a misspelt name
}

// Name lists the values of a row. No comma is in it: paths have it, which options of linkers name.
func (r Row) Name(axes []Axis) string {
	names := make([]string, len(r))
	for i := range r {
		names[i] = axes[i].Values[r[i]].Name
	}
	return strings.Join(names, " ")
}
