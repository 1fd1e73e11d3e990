package elfdiff

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Where bodies differ in more than operands, alignment does not tell which operand took the place of which. What one body uses, and
// the other does not use at all, is certain.

// uses is what a body calls, refers to and holds as text: by a key that is the same in both builds, what it is called.
type uses map[patch.ReasonKind]map[string]string

// usesOf collects the uses of a body.
func (x *explainer) usesOf(u *unit, code []instruction, old bool) uses {
	out := uses{patch.ReasonCall: {}, patch.ReasonReference: {}, patch.ReasonString: {}}
	s := &x.d.new
	if old {
		s = &x.d.old
	}
	for i := range code {
		for _, r := range code[i].refs {
			p := u.placeOf(r)
			kind, name := patch.ReasonReference, placeName(p)
			switch {
			case p.Ambiguous() || p.Kind == image.PlaceUnknown:
				continue
			case r.Kind == image.RefCall, r.Kind == image.RefJump:
				kind = patch.ReasonCall
			case p.Kind == image.PlaceAnon:
				b, _ := s.im.Bytes(p.Addr, s.anonSize(p.Addr))
				t, ok := text(b)
				if !ok || r.Kind == image.RefMem {
					continue
				}
				out[patch.ReasonString][t] = quote(t)
				continue
			}
			out[kind][x.placeKey(p, old)] = name
		}
	}
	return out
}

// placeKey spells what a place is: equal words in both builds mean the same place.
func (x *explainer) placeKey(p *image.Place, old bool) string {
	if p.Atom == nil {
		return fmt.Sprintf("%v %s", p.Kind, placeName(p))
	}
	a := p.Atom
	if next := x.d.fwd.of(a); old && next != nil {
		a = next
	} else if old || x.d.rev.of(a) == nil {
		return fmt.Sprintf("%v %t %s@%#x%+d", p.Kind, old, a.Name, uint64(a.Addr), p.Addend) // of one build alone
	}
	return fmt.Sprintf("%v %s@%#x%+d", p.Kind, a.Name, uint64(a.Addr), p.Addend)
}

// useReasons says what only one of the bodies uses.
func (x *explainer) useReasons() []reason {
	old, new := x.usesOf(x.c.old, x.old, true), x.usesOf(x.c.new, x.new, false)
	var out []reason
	for _, k := range []struct {
		kind                patch.ReasonKind
		instead, come, gone string
	}{
		{patch.ReasonCall, "calls %s instead of %s", "now calls %s", "no longer calls %s"},
		{patch.ReasonReference, "refers to %s instead of %s", "now refers to %s", "no longer refers to %s"},
		{patch.ReasonString, "string %[2]s -> %[1]s", "new string %s", "no longer has string %s"},
	} {
		gone, come := without(old[k.kind], new[k.kind]), without(new[k.kind], old[k.kind])
		switch {
		case len(gone) == 1 && len(come) == 1:
			out = append(out, newReason(k.kind, nil, k.instead, come[0], gone[0]))
			continue
		case len(come) > 0:
			out = append(out, newReason(k.kind, nil, k.come, someOf(come)))
		}
		if len(gone) > 0 {
			out = append(out, newReason(k.kind, nil, k.gone, someOf(gone)))
		}
	}
	return out
}

// without returns the names of what is in a and not in b, by spelling.
func without(a, b map[string]string) []string {
	var names []string
	for key, name := range a {
		if _, ok := b[key]; !ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// someOf joins names, a few of them.
func someOf(names []string) string {
	const most = 4
	s := strings.Join(names[:min(len(names), most)], ", ")
	if n := len(names) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// quote shows the beginning of a text.
func quote(s string) string {
	const longest = 60 // bytes
	if len(s) > longest {
		return fmt.Sprintf("%q", strings.ToValidUTF8(s[:longest], "")+"...")
	}
	return fmt.Sprintf("%q", s)
}
