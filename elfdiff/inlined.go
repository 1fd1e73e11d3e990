package elfdiff

import (
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// inlineChange is a function without a body of its own in either build that functions which changed have in common: they differ
// in nothing but code that is inlined from it. It is no change that could be applied, but the cause of some.
type inlineChange struct {
	name string
	in   []*funcChange // where it is the only difference
	entry
}

// frames returns the names of the functions that an address of a body was inlined from, the outermost first.
func (x *explainer) frames(which int, at arch.ImageAddr) []string {
	u := [2]*unit{x.c.old, x.c.new}[which]
	if x.inlines[which] == nil {
		all := u.inlines()
		x.inlines[which] = &all
	}
	var found []*image.Inline
	for i := range *x.inlines[which] {
		if in := &(*x.inlines[which])[i]; at >= in.Start && at < in.End {
			found = append(found, in)
		}
	}
	slices.SortStableFunc(found, func(a, b *image.Inline) int { return a.Depth - b.Depth })
	var names []string
	for _, in := range found {
		if in.Name != stem(u.name()) { // the rest of a function that was split, put back where it was: its own code
			names = append(names, in.Name)
		}
	}
	return names
}

// inlines returns what is inlined into all parts of a function; nothing, if there is no DWARF data to tell.
func (u *unit) inlines() []image.Inline {
	var out []image.Inline
	for _, p := range u.parts {
		l, err := u.im.Inlines(p)
		if err != nil {
			return nil
		}
		out = append(out, l...)
	}
	return out
}

// framesOf returns what all instructions of a place were inlined from, in both bodies.
func (x *explainer) framesOf(p span) []string {
	var common []string
	first := true
	meet := func(names []string) {
		if first {
			common, first = names, false
			return
		}
		n := 0
		for n < min(len(common), len(names)) && common[n] == names[n] {
			n++
		}
		common = common[:n]
	}
	for i := p.i; i < p.iEnd; i++ {
		meet(x.frames(0, x.c.old.parts[x.old[i].part].Addr+arch.ImageAddr(x.old[i].off)))
	}
	for j := p.j; j < p.jEnd; j++ {
		meet(x.frames(1, x.c.new.parts[x.new[j].part].Addr+arch.ImageAddr(x.new[j].off)))
	}
	return common
}

// ownPlaces returns the places that do not belong to an inlined function as a whole.
func (x *explainer) ownPlaces() []span {
	return slices.DeleteFunc(slices.Clone(x.places), func(p span) bool { return len(x.framesOf(p)) > 0 })
}

// inlinedReasons says which of the places where the bodies differ belong to functions that were inlined (HAZARDS
// D5), and puts the operands there down to them.
func (x *explainer) inlinedReasons() []reason {
	counts := make(map[string]int)
	chosen := func(p span) string {
		names := x.framesOf(p)
		if len(names) == 0 {
			return ""
		}
		for i := len(names) - 1; i >= 0; i-- {
			if x.d.inlinedCause(names[i], x.c) != nil {
				return names[i]
			}
		}
		return names[len(names)-1]
	}
	for _, p := range x.places {
		counts[chosen(p)]++
	}
	for i := range x.findings {
		f := &x.findings[i]
		name := chosen(f.at)
		counts[name]++
		if cause := x.d.inlinedCause(name, x.c); cause != nil && f.reason.cause == nil {
			f.reason.cause = cause
		}
	}
	delete(counts, "")
	return x.wordInlined(counts)
}

// wordInlined puts into words how many places belong to which function, those that changed first, the others together.
func (x *explainer) wordInlined(counts map[string]int) []reason {
	const most = 4 // functions that did not change, or of which it is not known
	var changed []reason
	others, more := "", 0
	for i, name := range sortedByCount(counts) {
		n := places(counts[name])
		switch cause := x.d.inlinedCause(name, x.c); {
		case cause != nil && x.d.inlineRoots[name] != nil:
			changed = append(changed, newReason(patch.ReasonInlined, cause, "inlines %s (%s)", name, n))
			continue
		case cause != nil:
			changed = append(changed, newReason(patch.ReasonInlined, cause, "inlines %s, which changed (%s)", name, n))
			continue
		case i-len(changed) >= most:
			more++
			continue
		case others != "":
			others += ", "
		}
		others += name
		if x.d.unchanged(name, x.c) {
			others += ", itself unchanged"
		}
		others += " (" + n + ")"
	}
	if more > 0 {
		others += " and " + count(more, "more function")
	}
	if others != "" {
		changed = append(changed, newReason(patch.ReasonInlined, nil, "code inlined from %s", others))
	}
	return changed
}

// inliningReasons says what one build inlines into the function and the other calls.
func (x *explainer) inliningReasons() []reason {
	old, new := inlinedNames(x.c.old), inlinedNames(x.c.new)
	var out []reason
	say := func(has, lacks map[string]bool, calls *unit, format string) {
		for i := range calls.refs {
			r := &calls.refs[i]
			target := calls.place(r).Atom
			if r.kind != image.RefCall && r.kind != image.RefJump || target == nil {
				continue
			}
			name := stem(target.Name)
			if !has[name] || lacks[name] || name == stem(x.c.new.name()) {
				continue
			}
			one := newReason(patch.ReasonInlining, x.d.bodyCause(name, x.c), format, name)
			if !slices.ContainsFunc(out, func(r reason) bool { return r.text == one.text }) {
				out = append(out, one)
			}
		}
	}
	say(new, old, x.c.old, "inlines %s, which it called before")
	say(old, new, x.c.new, "calls %s, which it inlined before")
	return out[:min(len(out), maxReasons)]
}

func inlinedNames(u *unit) map[string]bool {
	names := make(map[string]bool)
	for _, in := range u.inlines() {
		names[in.Name] = true
	}
	return names
}

// sortedByCount returns the names, those with the most places first.
func sortedByCount(counts map[string]int) []string {
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	return names
}

// stem returns the name that a function has in the source: without what compilers append.
func stem(name string) string {
	base, _, _ := strings.Cut(name, ".")
	return base
}
