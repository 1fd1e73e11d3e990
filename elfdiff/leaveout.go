package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// A patch holds every function that differs, so that the running code equals the new build's once the old bodies are left. Whoever leaves
// functions out loses that proof: a body may have been compiled with knowledge of what it calls, or of what calls it (-fipa-ra, propagated
// constants, a changed agreement). Each function that is left out therefore asks for a word, which says between what the proof is lost.
// What can be told to be wrong is refused: other parameters across the border, an object that moved away under an old body.

// leaveOut marks the functions that the user keeps out of the patch. An added function stays out with those that alone refer to it.
func (d *differ) leaveOut() error {
	names, id := d.opt.Skip, func(c *funcChange) string { return "skip:" + c.new.name() }
	only := len(d.opt.Only) > 0
	switch {
	case only && len(names) > 0:
		return fmt.Errorf("diff: either the functions of the patch can be named (only), or those that stay out of it (skip)")
	case only:
		names = d.opt.Only
	case len(names) == 0:
		return nil
	}
	chosen, err := d.chosen(names)
	if err != nil {
		return err
	}
	if only {
		word := "only:" + strings.Join(namesOf(chosen), ",")
		id = func(*funcChange) string { return word }
	}
	for _, c := range d.funcs {
		if c.how == patch.Changed && c.carried(&d.opt) && chosen[c] != only {
			c.out = id(c)
		}
	}
	d.leaveAdded()
	d.leaveObjects()
	return nil
}

// chosen finds the changed functions that names mean. A name that means none is an error.
func (d *differ) chosen(names []string) (map[*funcChange]bool, error) {
	means := d.opt.Named
	if means == nil {
		means = func(link, name string) bool { return link == name }
	}
	chosen := make(map[*funcChange]bool)
	for _, name := range names {
		found := false
		for _, c := range d.funcs {
			if c.how == patch.Changed && c.carried(&d.opt) && (means(c.new.name(), name) || means(c.old.name(), name)) {
				found, chosen[c] = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("diff: %s: no function of that name changed, so that none can be chosen for the patch or be left out of it; "+
				"added functions go with those that call them", name)
		}
	}
	return chosen, nil
}

// namesOf lists the names of functions, sorted.
func namesOf(set map[*funcChange]bool) []string {
	var out []string
	for c := range set {
		out = append(out, c.new.name())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// leaveAdded leaves out the added functions to which nothing refers but functions that are left out.
func (d *differ) leaveAdded() {
	users := make(map[*unit][]*unit)
	for _, v := range d.new.units {
		for _, to := range d.new.reaches(v) {
			users[to] = append(users[to], v)
		}
	}
	held := func(v *unit) bool {
		return slices.Contains(d.new.takenData, v.atom().Addr) || v.atom().Dynamic
	}
	for again := true; again; {
		again = false
		for _, c := range d.funcs {
			if c.how != patch.Added || c.out != "" || len(users[c.new]) == 0 || held(c.new) {
				continue
			}
			first := ""
			if slices.ContainsFunc(users[c.new], func(v *unit) bool {
				by := d.byNew[v]
				if by != nil && first == "" {
					first = by.out
				}
				return v != c.new && (by == nil || by.out == "")
			}) || first == "" {
				continue
			}
			c.out, again = first, true
		}
	}
}

// leaveObjects keeps the objects in their places whose readers are all left out. What was to be carried for them alone does not differ then.
func (d *differ) leaveObjects() {
	in := func(v *unit) bool { c := d.byNew[v]; return c == nil || c.out == "" }
	for _, o := range d.objects {
		if readers := d.new.readersOf(o.new); o.moves() && len(readers) > 0 && !slices.ContainsFunc(readers, in) && len(d.new.holdersOf(o.new)) == 0 {
			o.delta = objStays
		}
	}
	for _, c := range d.funcs {
		if c.out == "" || c.moved == nil {
			continue
		}
		c.moved = nil
		for _, o := range d.objects {
			if o.moves() && slices.Contains(d.new.readersOf(o.new), c.new) {
				c.moved = o
			}
		}
	}
	d.funcs = slices.DeleteFunc(d.funcs, func(c *funcChange) bool {
		equal := c.closure && c.out != "" && c.moved == nil
		if equal {
			d.equal++
			delete(d.byNew, c.new)
		}
		return equal
	})
}

// reaches lists the functions that a function refers to, itself aside.
func (s *side) reaches(u *unit) []*unit {
	var out []*unit
	for i := range u.refs {
		if to := s.unitOf(u.atomOf(&u.refs[i])); to != nil && to != u && !slices.Contains(out, to) {
			out = append(out, to)
		}
	}
	return out
}

// judgeLeftOut says between what the proof is lost.
func (d *differ) judgeLeftOut(c *funcChange) {
	if c.how == patch.Added {
		return // only functions that are left out refer to it
	}
	if c.moved != nil {
		c.refuse("it is left out, but refers to %s, which gets a new place; both go into the patch, or neither", c.moved.new.Name)
		return
	}
	if c.old != nil && c.new != nil {
		d.judgeLanding(c)
	}
	var lost []string
	if callers := d.carriedCallers(c); len(callers) > 0 {
		lost = append(lost, fmt.Sprintf("%s of the patch, compiled for its new body, will call the old one", some(callers, 4)))
	}
	if callees := d.carriedCallees(c); len(callees) > 0 {
		lost = append(lost, fmt.Sprintf("it was compiled for the old body of %s and will call the new one", some(callees, 4)))
	}
	if constants := d.renewedConstants(c.old); len(constants) > 0 {
		lost = append(lost, fmt.Sprintf("it will read the new content of %s", some(constants, 4)))
	}
	if len(lost) == 0 {
		lost = append(lost, "no function of the patch calls it itself, and it calls none itself; what they agree on by way of others and by data cannot be seen")
	}
	c.needAck(c.out, "left out, it keeps its old body, and the running code will not equal the new build's: %s", strings.Join(lost, "; "))
}

// carriedCallers lists the functions of the patch that refer to the new body of one that is left out.
func (d *differ) carriedCallers(c *funcChange) []string {
	var out []string
	for _, f := range d.funcs {
		if f.carried(&d.opt) && slices.Contains(d.new.reaches(f.new), c.new) {
			out = append(out, f.new.name())
		}
	}
	return out
}

// carriedCallees lists the replaced functions that the old body of one that is left out refers to.
func (d *differ) carriedCallees(c *funcChange) []string {
	var out []string
	for _, to := range d.old.reaches(c.old) {
		if f := d.byNew[d.new.unitOf(d.fwd.of(to.atom()))]; f != nil && f.carried(&d.opt) {
			out = append(out, to.name())
		}
	}
	return out
}

// renewedConstants lists the constants that an old body refers to and that get new content where they are.
func (d *differ) renewedConstants(u *unit) []string {
	var out []string
	for _, o := range d.objects {
		if o.inPlace() && slices.ContainsFunc(u.refs, func(r reference) bool { return u.atomOf(&r) == o.old }) {
			out = append(out, o.old.Name)
		}
	}
	return out
}

// storedByLeftOut adds to the addresses that stay reachable the functions that old bodies which are left out refer to.
func (d *differ) storedByLeftOut(stored map[*image.Atom]string) {
	for _, c := range d.funcs {
		if c.out == "" || c.old == nil {
			continue
		}
		for _, to := range d.old.reaches(c.old) {
			if a := to.atom(); d.fwd.of(a) == nil && stored[a] == "" {
				stored[a] = "called by " + c.old.name() + ", which is left out"
			}
		}
	}
}

// refuseBorder refuses a function whose parameters changed where the patch's border, which the user drew, lies between it and what calls it.
func (d *differ) refuseBorder(c *funcChange, text string) {
	if c.out != "" {
		if callers := d.carriedCallers(c); len(callers) > 0 {
			c.refuse("it is left out, but its signature changed (%s), and %s of the patch will pass what the new one takes; "+
				"both go into the patch, or neither", text, some(callers, 4))
		}
		return
	}
	for _, f := range d.funcs {
		if f.out != "" && f.old != nil && slices.Contains(d.old.reaches(f.old), c.old) {
			f.refuse("it is left out, but calls %s, whose signature changed (%s); both go into the patch, or neither", c.old.name(), text)
		}
	}
}

// leftOut reports whether an atom of the new build is code of a function that is left out, or an object that stays with those.
func (e *emitter) leftOut(b *image.Atom) bool {
	if o := e.d.objNew[b]; o != nil {
		return o.delta == objStays
	}
	c := e.d.byNew[e.d.new.unitOf(b)]
	return c != nil && c.out != ""
}
