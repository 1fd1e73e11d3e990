package elfdiff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"hotpatch/elfdiff/image"
)

// The pairing funnel: which atom of the old build is which atom of the new one.
// Each stage pairs only what is unique on both sides, so that a wrong twin is
// never taken; what stays unpaired is added or removed, and a variable for which more than one
// partner is possible is remembered as ambiguous. A name alone does not make two variables one where
// the name is a compiler's (n.0) or the scope another: see [differ.plausible].

// class keeps atoms apart that can never be the same thing.
type class uint8

const (
	classFunc class = iota
	classIFunc
	classObject
	classTLS
	classNone
)

func classOf(a *image.Atom) class {
	switch a.Kind {
	case image.Func:
		if a.Parent == nil {
			return classFunc
		}
	case image.IFunc:
		return classIFunc
	case image.Object:
		return classObject
	case image.TLSObject:
		return classTLS
	}
	return classNone
}

// group is what atoms must agree in before a stage compares more of them.
type group struct {
	class class
	local bool
	name  string
	file  string
}

// matches tells for the atoms of one build which of the other build's they are.
type matches struct {
	from []*image.Atom // of the one build, by ID
	to   []*image.Atom // by the ID of the one build's: the other build's, or nil
	n    int           // those that are not nil
}

// of returns what a is in the other build, or nil. What the one build does not have, such as a constant without a symbol, is nothing.
func (m *matches) of(a *image.Atom) *image.Atom {
	if a == nil || a.ID < 0 || a.ID >= len(m.from) || m.from[a.ID] != a {
		return nil
	}
	return m.to[a.ID]
}

// set notes a match of an atom that has none.
func (m *matches) set(a, b *image.Atom) {
	m.to[a.ID] = b
	m.n++
}

func (d *differ) pair() {
	d.fwd = matches{from: d.old.im.Atoms, to: make([]*image.Atom, len(d.old.im.Atoms))}
	d.rev = matches{from: d.new.im.Atoms, to: make([]*image.Atom, len(d.new.im.Atoms))}
	d.amb = make(map[*image.Atom]string)
	d.pairUnique(mainNames)
	d.pairUnique(globalNames)
	d.pairUnique(localNames)
	d.pairUnique(strippedNames)
	d.pairUnique(namesOfAnyScope)
	d.pairRepeatedly(strippedNames)
	d.pairUnique(namesWithoutFile)
	// Where an object brings no STT_FILE along, as in libc.a, linkers but GNU ld let its static symbols follow those of the file
	// in front: which file that is depends on the order of the link.
	d.pairRepeatedly(namesWithoutFile)
	d.pairUnique(namesOfAnyScope)
	d.markAmbiguous()
}

// pairRepeatedly pairs members of groups by all that is known of their content and use, until nothing new pairs.
func (d *differ) pairRepeatedly(by names) {
	for {
		n := d.fwd.n
		d.pairByPosition(by)
		d.pairTwins(by, d.userKey)
		d.pairTwins(by, d.linkedKey)
		d.pairTwins(by, d.contentKey)
		d.pairUnique(by)
		if d.fwd.n == n {
			return
		}
	}
}

// plausible reports whether two atoms of one name may be the same thing. For a variable whose name the compiler
// numbered, and for one that changed its file or scope, the name says too little: a function that is paired must refer to both.
func (d *differ) plausible(a, b *image.Atom) bool {
	if c := classOf(a); c != classObject && c != classTLS || readOnly(a) && readOnly(b) {
		return true
	}
	if a.Local == b.Local && a.File == b.File && stripSuffix(a.Name) == a.Name {
		return true
	}
	if len(d.old.usersOf(a)) == 0 && len(d.new.usersOf(b)) == 0 {
		return a.Size == b.Size
	}
	for _, u := range d.old.usersOf(a) {
		if v := d.new.unitOf(d.fwd.of(u.atom())); v != nil && slices.Contains(d.new.usersOf(b), v) {
			return true
		}
	}
	return false
}

// link pairs two atoms, unless one of them has a partner.
func (d *differ) link(a, b *image.Atom) {
	if d.fwd.of(a) == nil && d.rev.of(b) == nil {
		d.fwd.set(a, b)
		d.rev.set(b, a)
	}
}

// names yields the groups that an atom belongs to at one stage. The name of an empty function in front of it is not its own.
type names func(a *image.Atom, yield func(group))

// mainNames yields the name that stands for a global atom: where names were joined or split, it goes with that one.
func mainNames(a *image.Atom, yield func(group)) {
	if !a.Local && stripSuffix(a.Name) == a.Name {
		yield(group{class: classOf(a), name: a.Name})
	}
}

func globalNames(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if !isLocal(&a.Syms[i]) && !a.Syms[i].Empty {
			yield(group{class: classOf(a), name: a.Syms[i].Name})
		}
	}
}

// isLocal reports whether a symbol's scope is a file. A name that a compiler numbered never is of any other, also where link-time
// optimisation leaves no file to it.
func isLocal(s *image.Symbol) bool { return s.Local || stripSuffix(s.Name) != s.Name }

// localNames leaves out names that the compiler numbered: x.1 of one build can be x.2 of the next.
func localNames(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if s := &a.Syms[i]; s.Local && !s.Empty && stripSuffix(s.Name) == s.Name {
			yield(group{class: classOf(a), local: true, name: s.Name, file: s.File})
		}
	}
}

func strippedNames(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if isLocal(&a.Syms[i]) && !a.Syms[i].Empty {
			yield(group{class: classOf(a), local: true, name: stripSuffix(a.Syms[i].Name), file: a.Syms[i].File})
		}
	}
}

func namesWithoutFile(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if isLocal(&a.Syms[i]) && !a.Syms[i].Empty {
			yield(group{class: classOf(a), local: true, name: stripSuffix(a.Syms[i].Name)})
		}
	}
}

// namesOfAnyScope does not tell static from global. Names that a compiler numbered are never global.
func namesOfAnyScope(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if name := a.Syms[i].Name; stripSuffix(name) == name && !a.Syms[i].Empty {
			yield(group{class: classOf(a), name: name})
		}
	}
}

// stripSuffix takes the numbers off the suffixes that compilers append (x.123,
// f.constprop.0, f.llvm.4711) and keeps their kinds.
func stripSuffix(name string) string {
	dot := strings.IndexByte(name, '.')
	if dot < 0 || !strings.ContainsAny(name[dot:], "0123456789") {
		return name
	}
	parts := strings.Split(name, ".")
	out := parts[:1]
	for _, p := range parts[1:] {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ".")
}

// groups collects the unpaired atoms of one image.
func groups(im *image.Image, paired *matches, by names) map[group][]*image.Atom {
	m := make(map[group][]*image.Atom)
	for _, a := range im.Atoms {
		if classOf(a) == classNone || paired.of(a) != nil {
			continue
		}
		by(a, func(g group) {
			if l := m[g]; len(l) == 0 || l[len(l)-1] != a {
				m[g] = append(l, a)
			}
		})
	}
	return m
}

// pairUnique pairs atoms whose group holds one atom on each side.
func (d *differ) pairUnique(by names) {
	olds := groups(d.old.im, &d.fwd, by)
	news := groups(d.new.im, &d.rev, by)
	for _, b := range d.new.im.Atoms {
		if classOf(b) == classNone || d.rev.of(b) != nil {
			continue
		}
		by(b, func(g group) {
			if la := olds[g]; len(la) == 1 && len(news[g]) == 1 && d.plausible(la[0], b) {
				d.link(la[0], b)
			}
		})
	}
}

// pairTwins tells apart the members of groups that hold several atoms, by a key
// that is the same for one atom on each side.
func (d *differ) pairTwins(by names, key func(s *side, a *image.Atom) string) {
	olds := groups(d.old.im, &d.fwd, by)
	news := groups(d.new.im, &d.rev, by)
	for _, g := range sortedGroups(olds) {
		la, lb := olds[g], news[g]
		if len(lb) == 0 || (len(la) == 1 && len(lb) == 1) {
			continue
		}
		ka, kb := keyed(&d.old, la, key), keyed(&d.new, lb, key)
		for _, k := range slices.Sorted(maps.Keys(ka)) {
			as := ka[k]
			if bs := kb[k]; len(as) == 1 && len(bs) == 1 && k != "" && d.plausible(as[0], bs[0]) {
				d.link(as[0], bs[0])
			}
		}
	}
}

// sortedGroups returns the groups in a fixed order.
func sortedGroups(m map[group][]*image.Atom) []group {
	return slices.SortedFunc(maps.Keys(m), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.name, b.name), cmp.Compare(a.file, b.file))
	})
}

func keyed(s *side, l []*image.Atom, key func(*side, *image.Atom) string) map[string][]*image.Atom {
	m := make(map[string][]*image.Atom)
	for _, a := range l {
		k := key(s, a)
		m[k] = append(m[k], a)
	}
	return m
}

// contentKey is equal for atoms of equal content, references aside.
func (d *differ) contentKey(s *side, a *image.Atom) string {
	if u := s.unitOf(a); u != nil {
		if u.err != nil {
			return ""
		}
		return string(u.shape[:])
	}
	data, ok := s.im.Content(a)
	if !ok {
		return fmt.Sprintf("zero %d", a.Size)
	}
	return "data " + string(maskPointers(s.dataRefs(a), data))
}

// linkedKey is equal for data atoms of equal content whose addresses lead to the same paired atoms.
func (d *differ) linkedKey(s *side, a *image.Atom) string {
	if s.unitOf(a) != nil {
		return ""
	}
	data, ok := s.im.Content(a)
	refs := s.dataRefs(a)
	if !ok || len(refs) == 0 {
		return ""
	}
	var key strings.Builder
	key.Write(maskPointers(refs, data))
	for i := range refs {
		p := refs[i].Place
		p.Number = false // the other build's has to lead to the same
		old := p.Atom
		if s == &d.new {
			old = d.rev.of(old)
		}
		if d.fwd.of(old) == nil || p.Ambiguous() {
			return ""
		}
		fmt.Fprintf(&key, " %d+%d", old.ID, p.Addend)
	}
	return key.String()
}

// maskPointers returns the bytes of a data atom with zeros where it holds addresses.
func maskPointers(refs []image.DataRef, data []byte) []byte {
	if len(refs) == 0 {
		return data
	}
	out := append([]byte(nil), data...)
	for i := range refs {
		off := refs[i].Off
		clear(out[min(off, uint64(len(out))):min(off+uint64(refs[i].Size), uint64(len(out)))])
	}
	return out
}

// userKey is equal for atoms that the same paired functions refer to, equally often. A function-local
// static is told from its namesakes in this way.
func (d *differ) userKey(s *side, a *image.Atom) string {
	if s.unitOf(a) != nil {
		return ""
	}
	var names []string
	for _, u := range s.usersOf(a) {
		old := u.atom()
		if s == &d.new {
			old = d.rev.of(old)
		}
		if old == nil || d.fwd.of(old) == nil {
			return ""
		}
		names = append(names, fmt.Sprint(old.ID))
	}
	if len(names) == 0 {
		return ""
	}
	sort.Strings(names)
	return fmt.Sprint(a.Size) + ":" + strings.Join(names, ",")
}

// sameGroup reports whether two atoms agree in a group.
func sameGroup(a, b *image.Atom, by names) bool {
	same := false
	by(a, func(g group) {
		by(b, func(h group) { same = same || g == h })
	})
	return same
}

// markAmbiguous remembers variables that stayed unpaired although the old build has unpaired ones of
// the same name: which is which could not be told, so that neither may be bound to anything. Names that the compiler numbered belong to
// functions, which do not move from file to file.
func (d *differ) markAmbiguous() {
	olds := groups(d.old.im, &d.fwd, strippedNames)
	anywhere := groups(d.old.im, &d.fwd, namesOfAnyScope)
	for _, b := range d.new.im.Atoms {
		if c := classOf(b); d.rev.of(b) != nil || c != classObject && c != classTLS {
			continue
		}
		mark := func(as []*image.Atom, name string) {
			if len(as) > 0 {
				d.amb[b] = fmt.Sprintf("the old build has another variable named %s (%s) that the new one does not have: "+
					"whether it is this one, and its value is to be kept, cannot be told; a name of its own would tell", name, where(as[0]))
			}
		}
		strippedNames(b, func(g group) { mark(olds[g], g.name) })
		namesOfAnyScope(b, func(g group) { mark(anywhere[g], g.name) })
	}
}

// where says where an atom is defined, as far as the file does.
func where(a *image.Atom) string {
	if a.Local && a.File != "" {
		return fmt.Sprintf("in %s, at %#x", a.File, uint64(a.Addr))
	}
	return fmt.Sprintf("at %#x", uint64(a.Addr))
}
