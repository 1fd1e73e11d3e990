package inject

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
)

// Paths
//
// Patches lead on from one another: from the build that was started to a second, from that to a third. A patch that was reverted from under
// later ones, which is allowed if they know nothing of each other (independent.go), leaves a hole: what runs is no build, so that no
// other patch fits. The path goes on through the hole, as the addresses of the later patches are those of builds that had the missing one.

// connect puts the links that are in force into the order in which they lead on from one another, which need not be that in which they were
// applied, and finds what is missing between them.
func (v *moduleView) connect() {
	if len(v.chain) == 0 {
		return
	}
	top := slices.MaxFunc(v.chain, func(a, b *link) int { return len(a.e.Below) - len(b.e.Below) })
	build := v.m.BuildID
	for _, id := range append(slices.Clone(top.e.Below), top.file.ID) {
		l := v.missing(id)
		if k := slices.IndexFunc(v.chain, func(l *link) bool { return l.file.ID == id }); k >= 0 {
			l = v.chain[k]
		}
		if l == nil {
			v.stray = append(v.stray, fmt.Sprintf("patch %s was put on patch %s, of which nothing is known any more", top.file.ID.Short(), id.Short()))
			break
		}
		if !bytes.Equal(l.file.Old.ID, build) {
			v.stray = append(v.stray, fmt.Sprintf("patch %s is for build %x, but %x is what it was put on", l.file.ID.Short(), l.file.Old.ID, build))
		}
		build = l.file.New.ID
		v.path = append(v.path, l)
	}
	ordered := v.inForce()
	for _, l := range v.chain {
		if !slices.Contains(v.path, l) {
			v.stray = append(v.stray, fmt.Sprintf("patch %s is in force beside patch %s, which does not know it", l.file.ID.Short(), top.file.ID.Short()))
			ordered = append(ordered, l)
		}
	}
	v.chain = ordered
}

// inForce returns the links of the path that are in force.
func (v *moduleView) inForce() []*link {
	return slices.DeleteFunc(slices.Clone(v.path), func(l *link) bool { return l.out })
}

// remnant reports whether a link was in force in an instance of the module that is gone: the one that stands in its place has none of its
// jumps, while those in payloads, of superseded bodies and of functions that a patch added, are still there.
func (v *moduleView) remnant(l *link) bool {
	if l.state() != applied || l.force == 0 {
		return false
	}
	home := slices.ContainsFunc(l.e.Writes, func(w write) bool { return v.has(w.Addr) })
	if home {
		return l.home == 0
	}
	return slices.ContainsFunc(v.remnants, func(o *link) bool { return slices.Contains(l.e.Below, o.file.ID) }) ||
		slices.ContainsFunc(v.idle, func(o *link) bool { return o.state() == applied && slices.Contains(l.e.Below, o.file.ID) })
}

// has reports whether an address is in the module itself.
func (v *moduleView) has(a arch.Addr) bool { return v.m.holds(a) }

// missing returns a patch that is not in force as a link of the path: as it was when it last was.
func (v *moduleView) missing(id patch.ID) *link {
	all := slices.Concat(v.idle, v.mixed)
	for i := len(all) - 1; i >= 0; i-- {
		if l := *all[i]; l.file.ID == id && l.state() != staged {
			l.out = true
			return &l
		}
	}
	return nil
}

// hole returns the index in the path of the oldest patch that is missing, or -1.
func (v *moduleView) hole() int { return slices.IndexFunc(v.path, func(l *link) bool { return l.out }) }

// lacks reports whether a patch is missing in the path.
func (v *moduleView) lacks(id patch.ID) bool {
	return slices.ContainsFunc(v.path, func(l *link) bool { return l.out && l.file.ID == id })
}

// holes names the patches that are missing, and what is based on them.
func (v *moduleView) holes() string {
	var out, on []string
	for _, l := range v.path {
		switch {
		case l.out:
			out = append(out, l.file.ID.Short())
		case len(out) > 0:
			on = append(on, l.file.ID.Short())
		}
	}
	return fmt.Sprintf("%s is missing under %s", strings.Join(out, ", "), strings.Join(on, ", "))
}

// below returns the patches of the path, oldest first.
func (v *moduleView) below() []patch.ID {
	var ids []patch.ID
	for _, l := range v.path {
		ids = append(ids, l.file.ID)
	}
	return ids
}

// under returns the view as it is below path[n], to plan a patch there. Preconditions: nothing is missing in path[:n].
func (v *moduleView) under(n int) *moduleView {
	low := *v
	low.path, low.chain = slices.Clip(v.path[:n]), slices.Clip(v.path[:n])
	low.above = slices.DeleteFunc(slices.Clone(v.path[n:]), func(l *link) bool { return l.out })
	return &low
}

// fill puts a link where path[n] is missing.
func (v *moduleView) fill(n int, l *link) {
	v.path = slices.Clone(v.path)
	v.path[n] = l
	v.chain = v.inForce()
}
