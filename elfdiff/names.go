package elfdiff

import (
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Names that one build gives to one body and the other to two (HAZARDS D15): aliases, and
// identical-code folding that was done or undone.

// judgeNames refuses what has a name that stood for something else in the old build: whoever uses the name
// from outside, by a stored pointer or through the dynamic linker, would go on reaching that.
func (d *differ) judgeNames(b *image.Atom, v *verdict) {
	old := d.rev.of(b)
	for i := range b.Syms {
		s := &b.Syms[i]
		if isLocal(s) || old != nil && !localName(old, s.Name) {
			continue
		}
		for _, a := range d.old.im.Named(s.Name) {
			if a != old && !localName(a, s.Name) && classOf(a) == classOf(b) && !d.sameEmpty(a, b, s) {
				how := "was of its own in the old build, and is another name of " + b.Name + " in the new one"
				if a.Name != s.Name {
					how = "was another name of " + a.Name + " in the old build, and is of its own in the new one"
				}
				v.refuse("%s %s (an alias, or identical-code folding, changed); build both with the same setting of folding", s.Name, how)
				return
			}
		}
	}
	if old == nil {
		return
	}
	for i := range old.Syms {
		s := &old.Syms[i]
		if isLocal(s) || !localName(b, s.Name) {
			continue
		}
		for _, c := range d.new.im.Named(s.Name) {
			if c != b && !localName(c, s.Name) && classOf(c) == classOf(b) && !d.sameEmpty(old, c, s) {
				v.refuse("its other name %s is of something else in the new build (an alias, or identical-code folding, changed); "+
					"build both with the same setting of folding", s.Name)
				return
			}
		}
	}
}

// localName reports whether the atom has the name in a local scope only.
func localName(a *image.Atom, name string) bool {
	for i := range a.Syms {
		if a.Syms[i].Name == name && !a.Syms[i].Local {
			return false
		}
	}
	return true
}

// joinedNames finds what only the old build has as an atom of its own, while the new one has its name for something else. A function of
// that kind that stays reachable would keep its old body; a variable would keep a value of its own.
func (d *differ) joinedNames() {
	for _, a := range d.old.im.Atoms {
		d.movedAliases(a)
		c := classOf(a)
		if c == classNone || d.fwd.of(a) != nil || isLocal(&a.Syms[0]) || a.CRT {
			continue
		}
		for _, b := range d.new.im.Named(a.Name) {
			if localName(b, a.Name) || classOf(b) != c {
				continue
			}
			if _, reachable := d.stored[a]; c == classFunc && !reachable {
				continue
			}
			d.other = append(d.other, patch.Change{What: "name", Name: a.Name, Change: "changed",
				Verdict: patch.Refused, Reasons: []patch.Reason{},
				Old: &patch.Extent{Addr: a.Addr, Size: a.Size}, New: &patch.Extent{Addr: b.Addr, Size: b.Size},
				Why: "it is another name of " + b.Name + " in the new build (an alias, or identical-code folding): " +
					"what reaches it by address would keep the old one; build with the same setting of folding"})
			break
		}
	}
}

// movedAliases finds the aliases without a size of an old function that stays, and that are another function's in the new build: whoever
// found one through the dynamic linker goes on calling the old one. Code of the module that uses one differs by itself.
func (d *differ) movedAliases(a *image.Atom) {
	to := d.fwd.of(a)
	if to == nil || !a.Dynamic {
		return
	}
	for i := range a.Syms {
		s := &a.Syms[i]
		if !s.Empty || s.Local || !localName(to, s.Name) {
			continue
		}
		for _, b := range d.new.im.Named(s.Name) {
			if !localName(b, s.Name) && classOf(b) == classOf(a) && !d.sameEmpty(a, b, s) {
				d.other = append(d.other, patch.Change{What: "name", Name: s.Name, Change: "changed", Verdict: patch.Refused, Reasons: []patch.Reason{},
					Old: &patch.Extent{Addr: a.Addr, Size: a.Size}, New: &patch.Extent{Addr: b.Addr, Size: b.Size},
					Why: "it is an alias of " + a.Name + " in the old build and of " + b.Name + " in the new one: " +
						"other modules that are bound to it would go on with the old one, and nothing but a restart changes that"})
			}
		}
	}
}
