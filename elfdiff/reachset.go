package elfdiff

import (
	"cmp"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// What the code of a patch leads to ([patch.Reach]): a later patch can only stay in force without an earlier one if neither knows anything of
// the other. What a body was compiled to rests on what it calls and on what that calls (-fipa-ra, pure functions), on who calls it
// (arguments that are always the same), and on the constants that they read: on what it leads to, and on what leads to it. What is in a
// variable no compiler knows, and what a call through a pointer leads to it does not either: such ways do not count.

// reachSet collects what functions of one build lead to.
type reachSet struct {
	s       *side
	payload map[*image.Atom]int     // what the patch carries: the words of its variables lead on as well
	roots   []*unit                 // the functions of the patch
	froms   []int                   // their indices in patch.Patch.Funcs
	seen    []bool                  // functions and objects, by atom ID
	anon    map[arch.ImageAddr]bool // constants without a symbol
	inlined map[string]bool         // functions that are inlined into the roots
	out     []patch.Reached         // each as it was first reached
	unknown string                  // what could not be followed
	work    []func()                // what is still to be followed
	from    int                     // the function that is being followed
}

// reach fills in what a finished patch leads to.
func (d *differ) reach(p *patch.Patch) {
	inlined := make(map[string]bool)
	old := &reachSet{s: &d.old, inlined: inlined}
	new := &reachSet{s: &d.new, inlined: inlined, payload: d.payload}
	i := 0
	for _, c := range d.funcs { // in the order of the function table, see emitter.functions
		if c.how != patch.Removed && !c.carried(&d.opt) {
			continue
		}
		old.root(c.old, i)
		new.root(c.new, i)
		i++
	}
	p.Reach = patch.Reach{Old: old.follow(), New: new.follow(), Unknown: cmp.Or(new.unknown, old.unknown)}
	for name := range inlined {
		p.Reach.Inlined = append(p.Reach.Inlined, name)
	}
	slices.Sort(p.Reach.Inlined)
	if said := d.layouts.said; p.Reach.Unknown == "" && said != LayoutsChecked && said != LayoutsNotNeeded {
		p.Reach.Unknown = "the layouts of types: " + said
	}
}

// root adds a function of the patch; nil is none.
func (r *reachSet) root(u *unit, index int) {
	if u == nil {
		return
	}
	r.roots, r.froms = append(r.roots, u), append(r.froms, index)
	for _, p := range u.parts {
		all, err := u.im.Inlines(p)
		if err != nil {
			r.doubt("what is inlined into %s is not known: %v", u.name(), err)
		}
		for i := range all {
			r.inlined[all[i].Name] = true
		}
	}
}

func (r *reachSet) doubt(format string, args ...any) {
	if r.unknown == "" {
		r.unknown = fmt.Sprintf(format, args...)
	}
}

// follow follows the functions, each with all that it leads to, and returns what was found, by address.
func (r *reachSet) follow() []patch.Reached {
	r.seen, r.anon = make([]bool, len(r.s.im.Atoms)), make(map[arch.ImageAddr]bool)
	for _, u := range r.roots {
		r.seen[u.atom().ID] = true
	}
	for i, u := range r.roots {
		r.from = r.froms[i]
		r.unit(u)
		for len(r.work) > 0 {
			next := r.work[len(r.work)-1]
			r.work = r.work[:len(r.work)-1]
			next()
		}
	}
	slices.SortStableFunc(r.out, func(a, b patch.Reached) int { return cmp.Compare(a.Addr, b.Addr) })
	return slices.CompactFunc(r.out, func(a, b patch.Reached) bool { return a.Addr == b.Addr })
}

// unit follows a function.
func (r *reachSet) unit(u *unit) {
	if u.err != nil {
		r.doubt("%s cannot be decoded", u.name())
	}
	for i := range u.refs {
		p := u.place(&u.refs[i])
		r.place(&p, u.name())
	}
}

// place follows a reference to all that it can mean.
func (r *reachSet) place(p *image.Place, in string) {
	switch {
	case p.Kind == image.PlaceUnknown:
		r.doubt("a reference in %s leads to %#x, of which nothing is known", in, uint64(p.Addr))
	case p.Kind == image.PlaceAnon && !r.anon[p.Addr]:
		r.anon[p.Addr] = true
		a := r.s.anon(p.Addr)
		r.work = append(r.work, func() { r.words(a) })
	}
	r.atom(p.Atom)
	if p.Import != nil { // one that another module may define as well
		r.atom(p.Import.Local)
	}
	for _, a := range p.Candidates {
		r.atom(a)
	}
}

// atom adds what is led to, and has it followed.
func (r *reachSet) atom(a *image.Atom) {
	if !r.s.has(a) || a.Kind == image.TLSObject {
		return
	}
	u := r.s.unitOf(a)
	if u != nil {
		a = u.atom()
	}
	if r.seen[a.ID] {
		return
	}
	r.seen[a.ID] = true
	r.out = append(r.out, patch.Reached{Addr: a.Addr, From: r.from})
	switch _, carried := r.payload[a]; {
	case u != nil:
		r.work = append(r.work, func() { r.unit(u) })
	case a.Kind == image.Object && (carried || readOnly(a)):
		r.work = append(r.work, func() { r.words(a) })
	}
}

// words follows the addresses that data holds.
func (r *reachSet) words(a *image.Atom) {
	refs := r.s.dataRefs(a)
	for i := range refs {
		r.place(&refs[i].Place, a.Name)
	}
}
