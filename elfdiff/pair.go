package elfdiff

import (
	"fmt"
	"sort"
	"strings"

	"hotpatch/elfdiff/image"
)

// The pairing funnel: which atom of the old build is which atom of the new one.
// Each stage pairs only what is unique on both sides, so that a wrong twin is
// never taken; what stays unpaired is added or removed, and a variable for which more than one
// partner is possible is remembered as ambiguous.

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

func (d *differ) pair() {
	d.fwd = make(map[*image.Atom]*image.Atom)
	d.rev = make(map[*image.Atom]*image.Atom)
	d.amb = make(map[*image.Atom]string)
	d.pairUnique(globalNames)
	d.pairUnique(localNames)
	d.pairUnique(strippedNames)
	for {
		n := len(d.fwd)
		d.pairByPosition()
		d.pairTwins(d.userKey)
		d.pairTwins(d.contentKey)
		d.pairUnique(strippedNames)
		if len(d.fwd) == n {
			break
		}
	}
	d.pairUnique(namesWithoutFile)
	d.markAmbiguous()
}

func (d *differ) link(a, b *image.Atom) bool {
	if d.fwd[a] != nil || d.rev[b] != nil {
		return false
	}
	d.fwd[a], d.rev[b] = b, a
	return true
}

// names yields the groups that an atom belongs to at one stage.
type names func(a *image.Atom, yield func(group))

func globalNames(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if !a.Syms[i].Local {
			yield(group{class: classOf(a), name: a.Syms[i].Name})
		}
	}
}

// localNames leaves out names that the compiler numbered: x.1 of one build can be x.2 of the next.
func localNames(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if a.Syms[i].Local && stripSuffix(a.Syms[i].Name) == a.Syms[i].Name {
			yield(group{class: classOf(a), local: true, name: a.Syms[i].Name, file: a.Syms[i].File})
		}
	}
}

func strippedNames(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if a.Syms[i].Local {
			yield(group{class: classOf(a), local: true, name: stripSuffix(a.Syms[i].Name), file: a.Syms[i].File})
		}
	}
}

func namesWithoutFile(a *image.Atom, yield func(group)) {
	for i := range a.Syms {
		if a.Syms[i].Local {
			yield(group{class: classOf(a), local: true, name: stripSuffix(a.Syms[i].Name)})
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
func groups(im *image.Image, paired map[*image.Atom]*image.Atom, by names) map[group][]*image.Atom {
	m := make(map[group][]*image.Atom)
	for _, a := range im.Atoms {
		if classOf(a) == classNone || paired[a] != nil {
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
	olds := groups(d.old.im, d.fwd, by)
	news := groups(d.new.im, d.rev, by)
	for _, b := range d.new.im.Atoms {
		if classOf(b) == classNone || d.rev[b] != nil {
			continue
		}
		by(b, func(g group) {
			if la := olds[g]; len(la) == 1 && len(news[g]) == 1 {
				d.link(la[0], b)
			}
		})
	}
}

// pairTwins tells apart the members of groups that hold several atoms, by a key
// that is the same for one atom on each side.
func (d *differ) pairTwins(key func(s *side, a *image.Atom) string) {
	olds := groups(d.old.im, d.fwd, strippedNames)
	news := groups(d.new.im, d.rev, strippedNames)
	for g, la := range olds {
		lb := news[g]
		if len(lb) == 0 || (len(la) == 1 && len(lb) == 1) {
			continue
		}
		ka, kb := keyed(&d.old, la, key), keyed(&d.new, lb, key)
		for k, as := range ka {
			if bs := kb[k]; len(as) == 1 && len(bs) == 1 && k != "" {
				d.link(as[0], bs[0])
			}
		}
	}
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
	if u := s.of[a]; u != nil {
		if u.err != nil {
			return ""
		}
		return string(u.shape[:])
	}
	data, ok := s.im.Bytes(a.Addr, a.Size)
	if !ok {
		return fmt.Sprintf("zero %d", a.Size)
	}
	return "data " + string(maskPointers(s.im, a, data))
}

// maskPointers returns the bytes of a data atom with zeros where it holds addresses.
func maskPointers(im *image.Image, a *image.Atom, data []byte) []byte {
	refs := im.DataRefs(a)
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
	if s.of[a] != nil {
		return ""
	}
	var names []string
	for _, u := range s.users[a] {
		old := u.atom()
		if s == &d.new {
			old = d.rev[old]
		}
		if old == nil || d.fwd[old] == nil {
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

// pairByPosition pairs atoms that stand at the same place in functions that are
// paired already and have the same shape. A contradiction leaves the atoms unpaired.
func (d *differ) pairByPosition() {
	votes := make(map[*image.Atom]*image.Atom)
	spoilt := make(map[*image.Atom]bool)
	vote := func(a, b *image.Atom) {
		if a == nil || b == nil || d.fwd[a] != nil || d.rev[b] != nil {
			return
		}
		have, ok := votes[a]
		switch {
		case ok && have == b:
		case !sameGroup(a, b):
		case ok:
			spoilt[a] = true
		default:
			votes[a] = b
		}
	}
	for _, u := range d.old.units {
		b := d.fwd[u.atom()]
		if b == nil {
			continue
		}
		v := d.new.of[b]
		if v == nil || u.err != nil || v.err != nil || u.shape != v.shape || len(u.refs) != len(v.refs) {
			continue
		}
		for i := range u.refs {
			p, q := u.refs[i].place, v.refs[i].place
			if p.Kind == q.Kind && p.Addend == q.Addend && !p.Ambiguous() && !q.Ambiguous() {
				vote(p.Atom, q.Atom)
			}
		}
	}
	taken := make(map[*image.Atom]int)
	for a, b := range votes {
		if !spoilt[a] {
			taken[b]++
		}
	}
	for a, b := range votes {
		if !spoilt[a] && taken[b] == 1 {
			d.link(a, b)
		}
	}
}

// sameGroup reports whether two atoms agree in a group of [strippedNames].
func sameGroup(a, b *image.Atom) bool {
	if classOf(a) != classOf(b) {
		return false
	}
	for i := range a.Syms {
		for j := range b.Syms {
			s, t := &a.Syms[i], &b.Syms[j]
			if s.Local && t.Local && s.File == t.File && (s.Name == t.Name || stripSuffix(s.Name) == stripSuffix(t.Name)) {
				return true
			}
		}
	}
	return false
}

// markAmbiguous remembers variables that stayed unpaired although the other build has unpaired ones of
// the same name: which is which could not be told, so that neither may be bound to anything.
func (d *differ) markAmbiguous() {
	olds := groups(d.old.im, d.fwd, namesWithoutFile)
	for g, bs := range groups(d.new.im, d.rev, namesWithoutFile) {
		as := olds[g]
		if len(as) == 0 || g.class == classFunc {
			continue
		}
		for _, b := range bs {
			d.amb[b] = fmt.Sprintf("the old build has %d unpaired objects named %s, the new one %d, and neither content nor use tells them apart", len(as), g.name, len(bs))
		}
	}
}
