package cli

import (
	"fmt"

	"hotpatch/elfdiff/patch"
)

// report is the list of changes as it is shown: each change with its ID, which is its place in the list, and what follows from what.
type report struct {
	all     []patch.Change
	hidden  map[int]bool  // IDs that are not listed: line numbers that stay out of the patch
	effects map[int][]int // by ID: the IDs of the changes that name it as a cause, in the list's order
}

func newReport(all []patch.Change, lines bool) *report {
	r := &report{all: all, hidden: make(map[int]bool), effects: make(map[int][]int)}
	for i := range all {
		if all[i].Change == "line" && !lines {
			r.hidden[i+1] = true
			continue
		}
		seen := make(map[int]bool)
		for _, why := range all[i].Reasons {
			if why.Cause > 0 && !seen[why.Cause] {
				seen[why.Cause] = true
				r.effects[why.Cause] = append(r.effects[why.Cause], i+1)
			}
		}
	}
	return r
}

func (r *report) change(id int) *patch.Change { return &r.all[id-1] }

// root follows the causes of a change to one that has none: the first cause each time. A change with code of its own that
// nothing else accounts for is a root, whatever else it follows from. Rings end where they close.
func (r *report) root(id int) int {
	seen := make(map[int]bool)
	for !seen[id] {
		seen[id] = true
		next := r.cause(id)
		if next == 0 {
			break
		}
		id = next
	}
	return id
}

// cause returns the ID of the change that a change is put down to; 0: none.
func (r *report) cause(id int) int {
	cause := 0
	for _, why := range r.change(id).Reasons {
		if why.Kind == patch.ReasonOwn && why.Cause == 0 {
			return 0
		}
		if cause == 0 {
			cause = why.Cause
		}
	}
	return cause
}

// shown returns the IDs of the changes of one sort that are listed.
func (r *report) shown(match func(*patch.Change) bool) []int {
	var ids []int
	for i := range r.all {
		if !r.hidden[i+1] && match(&r.all[i]) {
			ids = append(ids, i+1)
		}
	}
	return ids
}

// counts returns how many functions changed, and how many of those follow from other changes.
func (r *report) counts() (changed, follow int) {
	for _, id := range r.shown(changedFunction) {
		changed++
		if r.root(id) != id {
			follow++
		}
	}
	return changed, follow
}

func changedFunction(c *patch.Change) bool { return c.What == "function" && c.Change == "changed" }

// isNamed reports whether what a user typed means a link name: that itself, its demangled form, or the latter up to its arguments.
func isNamed(link, name string) bool {
	d := demangled(link)
	return link == name || d != "" && (d == name || withoutArguments(d) == name)
}

// find returns the IDs of the changes that a name means.
func (r *report) find(name string) []int {
	var ids []int
	for i := range r.all {
		if isNamed(r.all[i].Name, name) {
			ids = append(ids, i+1)
		}
	}
	return ids
}

// withoutArguments returns a demangled name up to its list of arguments.
func withoutArguments(d string) string {
	depth := 0 // of template arguments
	for i := 0; i < len(d); i++ {
		switch d[i] {
		case '<':
			depth++
		case '>':
			depth--
		case '(':
			if depth == 0 && i > 0 {
				return d[:i]
			}
		}
	}
	return d
}

// why prints why something changed: its reasons, the changes that these name with their reasons, and so on; then
// what follows from it.
func (a *app) why(r *report, name string) error {
	ids := r.find(name)
	if len(ids) == 0 {
		return fmt.Errorf("--why %s: no change has that name: it is the same in both builds, or in neither", name)
	}
	for i, id := range ids {
		if i > 0 {
			a.printf("")
		}
		a.chain(r, id, "", make(map[int]bool))
		if n := len(r.effects[id]); n > 0 {
			a.printf("  %s", a.paint(bold, "because of it"))
			a.followers(r, id, "    ", map[int]bool{id: true})
		}
	}
	return nil
}

// chain prints a change and, indented, what caused it.
func (a *app) chain(r *report, id int, indent string, seen map[int]bool) {
	c := r.change(id)
	a.printf("%s%s", indent, a.paint(bold, a.titled(c)))
	if seen[id] {
		a.printf("%s  (see above)", indent)
		return
	}
	seen[id] = true
	for _, why := range c.Reasons {
		a.printf("%s  %s", indent, a.words(why.Text))
		if why.Cause > 0 {
			a.chain(r, why.Cause, indent+"    ", seen)
		}
	}
	if c.Why != "" {
		a.printf("%s  %s: %s", indent, a.verdict(c.Verdict, 0), a.words(c.Why))
	}
}

// titled names a change: what it is, and what happened to it.
func (a *app) titled(c *patch.Change) string {
	s := clean(c.What) + " " + a.name(c.Name)
	if c.File != "" {
		s += " (" + clean(c.File) + ")"
	}
	return s + ", " + changeText(c)
}

// changeText says what happened to it.
func changeText(c *patch.Change) string {
	if c.Change == "line" {
		return "other line numbers only"
	}
	return clean(c.Change)
}

// followers prints what follows from a change, and what follows from that.
func (a *app) followers(r *report, id int, indent string, seen map[int]bool) {
	for _, e := range r.effects[id] {
		a.printf("%s%s", indent, a.titled(r.change(e)))
		if !seen[e] {
			seen[e] = true
			a.followers(r, e, indent+"  ", seen)
		}
	}
}
