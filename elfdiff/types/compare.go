package types

import (
	"cmp"
	"slices"
)

// Comparison compares the types of two builds.
type Comparison struct {
	Old, New *Build

	identical map[[2]ID]bool
	alike     map[[2]ID]bool
	layouts   map[[2]*Layout]bool
	numbers   map[string]*Name // of the new build: enums by their enumerators; nil: not made yet
	trail     []assumption     // pairs that count as alike, in the order in which that was assumed
}

// NewComparison prepares the comparison of two builds.
func NewComparison(old, new *Build) *Comparison {
	return &Comparison{Old: old, New: new,
		identical: make(map[[2]ID]bool), alike: make(map[[2]ID]bool), layouts: make(map[[2]*Layout]bool)}
}

// Change is a named type whose layout is not the same in both builds.
type Change struct {
	Name     string // with its keyword, as the old build has it
	Old, New *Layout
	Moves    []Move
	// Several is how many layouts of that name one build has that the other has not, where that is more than one and they cannot be told
	// apart; Old and New are the first ones. 0: there is no doubt.
	Several int

	name *Name // of the old build
}

// Harmless reports whether objects of the old layout are as good as those of the new one.
func (c *Change) Harmless() bool {
	return c.Several == 0 && !slices.ContainsFunc(c.Moves, func(m Move) bool { return !m.Harmless })
}

// Virtual reports whether slots of its vtable changed.
func (c *Change) Virtual() bool {
	return slices.ContainsFunc(c.Moves, func(m Move) bool { return m.What == MoveSlot && !m.Harmless })
}

// Changes returns the types that both builds define, and not in the same way, by name.
func (c *Comparison) Changes() []Change {
	var out []Change
	for _, o := range c.Old.All() {
		if n := c.New.Name(o.Qualified); n != nil && len(n.Layouts) > 0 {
			out = append(out, c.variants(o, n)...)
		} else if n := c.sameNumbers(o); n != nil {
			out = append(out, c.variants(o, n)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Added returns the types that only the new build defines, in the order of its file.
func (c *Comparison) Added() []*Name {
	var out []*Name
	for _, n := range c.New.All() {
		if o := c.Old.Name(n.Qualified); o == nil || len(o.Layouts) == 0 {
			out = append(out, n)
		}
	}
	return out
}

// maxVariants bounds how many pairs of layouts of one name are compared.
const maxVariants = 1 << 18

// variants compares the layouts that go by one name. Those that both builds have are the same type; the others are joined by the file
// that declares them, then by the unit that holds them.
func (c *Comparison) variants(o, n *Name) []Change {
	if len(o.Layouts)*len(n.Layouts) > maxVariants {
		return []Change{{Name: o.Title(), Old: o.Layouts[0], New: n.Layouts[0], Several: len(o.Layouts), name: o}}
	}
	var olds, news []*Layout
	for _, l := range o.Layouts {
		if !slices.ContainsFunc(n.Layouts, func(m *Layout) bool { return len(c.diff(l, m)) == 0 }) {
			olds = append(olds, l)
		}
	}
	for _, m := range n.Layouts {
		if !slices.ContainsFunc(o.Layouts, func(l *Layout) bool { return len(c.diff(l, m)) == 0 }) {
			news = append(news, m)
		}
	}
	var out []Change
	for _, key := range []func(*Layout) string{
		func(l *Layout) string { return l.File + "\x00" + l.Unit },
		func(l *Layout) string { return l.File },
		func(l *Layout) string { return l.Unit },
		func(*Layout) string { return "" },
	} {
		olds = slices.DeleteFunc(olds, func(l *Layout) bool {
			same := func(m *Layout) bool { return key(m) == key(l) }
			i := slices.IndexFunc(news, same)
			if i < 0 || count(olds, same) > 1 || count(news, same) > 1 {
				return false
			}
			out = append(out, Change{Name: o.Title(), Old: l, New: news[i], Moves: c.diff(l, news[i]), name: o})
			news = slices.Delete(news, i, i+1)
			return true
		})
	}
	if len(olds) > 0 && len(news) > 0 {
		out = append(out, Change{Name: o.Title(), Old: olds[0], New: news[0], Moves: c.diff(olds[0], news[0]),
			Several: max(len(olds), len(news)), name: o})
	}
	return out
}

func count(l []*Layout, f func(*Layout) bool) int {
	n := 0
	for _, x := range l {
		if f(x) {
			n++
		}
	}
	return n
}

// sameNumbers finds the enum of the new build that has most of the enumerators of an old one which went by another name: enums
// often have none.
func (c *Comparison) sameNumbers(o *Name) *Name {
	if !o.Layouts[0].Enum {
		return nil
	}
	if c.numbers == nil {
		c.numbers = make(map[string]*Name)
		for _, n := range c.New.All() {
			for _, e := range n.Layouts[0].Numbers {
				c.numbers[e.Name] = n
			}
		}
	}
	shared := make(map[*Name]int)
	var best *Name
	for _, e := range o.Layouts[0].Numbers {
		if n := c.numbers[e.Name]; n != nil {
			if shared[n]++; best == nil || shared[n] > shared[best] {
				best = n
			}
		}
	}
	return best
}

// Longer reports whether the new type of a variable is the old one with more behind its end: an array of more elements, or a struct to which
// members were added there, not in what was padding. What the variable holds then means the same in its first bytes.
func (c *Comparison) Longer(v, w *Variable) bool {
	a, b := &c.Old.types[v.Type], &c.New.types[w.Type]
	if a.kind == Array && b.kind == Array {
		return a.elem != 0 && b.elem != 0 && c.Alike(a.elem, b.elem)
	}
	x, y := a.layout, b.layout
	if x == nil || y == nil {
		return false
	}
	const bits = 8 // in a byte
	for _, m := range c.diff(x, y) {
		if added := m.What == MoveAdded && m.New >= bits*int64(x.Size); !m.Harmless && m.What != MoveSize && !added {
			return false
		}
	}
	return true
}

// Variable compares the types of a variable of both builds. What is reported under a name of its own is no difference here; nor is the number of
// elements of an array, which is the variable's size.
func (c *Comparison) Variable(v, w *Variable) []Move {
	a, b := v.Type, w.Type
	for c.Old.types[a].kind == Array && c.New.types[b].kind == Array {
		a, b = c.Old.types[a].elem, c.New.types[b].elem
	}
	if a == 0 || b == 0 || c.same(a, b) {
		return nil
	}
	if x, y := c.Old.types[a].layout, c.New.types[b].layout; x != nil && y != nil {
		return c.diff(x, y)
	}
	m := Move{What: MoveType, Old: -1, New: -1, OldType: c.Old.Text(v.Type), NewType: c.New.Text(w.Type), Harmless: c.Alike(a, b)}
	if m.Text = m.OldType + " -> " + m.NewType; m.Harmless {
		m.Text += ", of the same layout"
	}
	return []Move{m}
}
