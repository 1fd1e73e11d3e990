package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// inlinedCause returns the change of a function that is inlined into another and changed itself, or nil.
func (d *differ) inlinedCause(name string, into *funcChange) *entry {
	if name == "" {
		return nil
	}
	if r := d.inlineRoots[name]; r != nil {
		return &r.entry
	}
	return d.bodyCause(name, into)
}

// bodyCause returns the change of the body of a function, by its name in the source; nil if it did not change, if it has no body, or
// where functions of one name could be meant of which some changed.
func (d *differ) bodyCause(name string, from *funcChange) *entry {
	bodies := d.bodies(name, from.new)
	var found *entry
	for _, v := range bodies {
		c := d.byNew[v]
		if c == nil || c.line || c == from {
			if len(bodies) > 1 {
				continue // one of several clones
			}
			return nil
		}
		if found == nil {
			found = &c.entry
		}
	}
	return found
}

// unchanged reports whether a function has a body in both builds, and all bodies of it are equal.
func (d *differ) unchanged(name string, from *funcChange) bool {
	bodies := d.bodies(name, from.new)
	for _, v := range bodies {
		if c := d.byNew[v]; c != nil && !c.line {
			return false
		}
	}
	return len(bodies) > 0
}

// bodies returns the functions of the new build of that name in the source, clones included: those of the same file, if
// there are any, else the only one, or the global one.
func (d *differ) bodies(name string, from *unit) []*unit {
	if d.stems == nil {
		d.stems = make(map[string][]*unit)
		for _, v := range d.new.units {
			d.stems[stem(v.name())] = append(d.stems[stem(v.name())], v)
		}
	}
	all := d.stems[name]
	here := slices.DeleteFunc(slices.Clone(all), func(v *unit) bool { return v.atom().File != from.atom().File || v.atom().File == "" })
	global := slices.DeleteFunc(slices.Clone(all), func(v *unit) bool { return v.atom().Local })
	switch {
	case len(here) > 0:
		return here
	case len(global) > 0:
		return global
	case len(all) == 1:
		return all
	}
	return nil
}

// findInlineChanges finds functions without a body of their own that are all that several functions differ in, while every function of
// their compilation units that they are inlined into changed. One function alone would not show it: another argument changes inlined code, too.
func (d *differ) findInlineChanges(all []*explainer) {
	d.inlineRoots = make(map[string]*inlineChange)
	found := make(map[string]*inlineChange)
	for _, x := range all {
		if x == nil || x.c.line || x.tooMany || x.branches > 0 || len(x.places)+len(x.findings) == 0 {
			continue
		}
		name, ok := x.onlyInlined()
		if !ok || !d.changedWherever(name, x.c.new.atom()) {
			continue
		}
		r := found[name]
		if r == nil {
			r = &inlineChange{name: name}
			found[name] = r
		}
		if r.in = append(r.in, x.c); len(r.in) == 2 {
			d.inlineRoots[name] = r
			d.inlineChanges = append(d.inlineChanges, r)
		}
	}
	for _, r := range d.inlineChanges {
		var names []string
		for _, c := range r.in[:min(len(r.in), maxReasons)] {
			names = append(names, c.new.name())
		}
		in := strings.Join(names, ", ")
		if n := len(r.in) - len(names); n > 0 {
			in += fmt.Sprintf(" and %d more", n)
		}
		r.because(patch.ReasonInlined, nil, "has no body of its own; %s differ in nothing but code inlined from it", in)
	}
}

// onlyInlined returns the innermost function that all places and operands in which the bodies differ are inlined from, if it has no body.
func (x *explainer) onlyInlined() (string, bool) {
	spans := slices.Clone(x.places)
	for _, f := range x.findings {
		spans = append(spans, f.at)
	}
	common := x.framesOf(spans[0])
	for _, p := range spans[1:] {
		names := x.framesOf(p)
		n := 0
		for n < min(len(common), len(names)) && common[n] == names[n] {
			n++
		}
		common = common[:n]
	}
	if len(common) == 0 {
		return "", false
	}
	name := common[len(common)-1]
	// If it has a body, what that says is the answer.
	return name, len(x.d.bodies(name, x.c.new)) == 0 && !hasBody(x.d.old.im, name) && !hasBody(x.d.new.im, name)
}

func hasBody(im *image.Image, name string) bool { return len(im.Named(name)) > 0 }

// changedWherever reports whether all functions of a's compilation unit, in the new build, that a function is inlined into changed.
func (d *differ) changedWherever(name string, a *image.Atom) bool {
	starts, err := d.new.im.Inliners(a, name)
	if err != nil || len(starts) == 0 {
		return false
	}
	for _, at := range starts {
		v := d.new.unitOf(d.new.im.AtomAt(at))
		if v == nil {
			return false
		}
		if c := d.byNew[v]; c == nil || c.line {
			return false
		}
	}
	return true
}

// sameLines reports whether the function's own code is on the same lines of its source in both builds, counted from its declaration.
func (x *explainer) sameLines() bool {
	old, ok1 := x.c.old.ownLines()
	new, ok2 := x.c.new.ownLines()
	if !ok1 || !ok2 || len(old) != len(new) {
		return false
	}
	for line := range old {
		if !new[line] {
			return false
		}
	}
	return true
}

// ownLines returns the lines of the source that a function's own code is on, counted from its declaration. Of what is inlined, the line
// of the call counts.
func (u *unit) ownLines() (map[int]bool, bool) {
	decl, err := u.im.DeclLine(u.atom())
	if err != nil || decl == 0 {
		return nil, false
	}
	lines := make(map[int]bool)
	for _, p := range u.parts {
		rows, err := u.im.Lines(p)
		if err != nil {
			return nil, false
		}
		inlines, err := u.im.Inlines(p)
		if err != nil {
			return nil, false
		}
		for _, in := range inlines {
			if in.Depth == 1 && in.CallLine > 0 {
				lines[in.CallLine-decl] = true
			}
		}
		for _, r := range rows {
			if !slices.ContainsFunc(inlines, func(in image.Inline) bool { return r.Addr >= in.Start && r.Addr < in.End }) {
				lines[r.Line-decl] = true
			}
		}
	}
	return lines, len(lines) > 0
}
