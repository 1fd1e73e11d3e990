package unwind

import (
	"encoding/binary"
	"sort"

	"hotpatch/arch"
)

// Target is a range of code that is about to be replaced, or to go away: one part of a function.
type Target struct {
	Range
	Name string

	// Entries are the places in the range from which a thread goes into the new code:
	// the function's start and the place of the jump. A place that the function itself
	// branches to (a loop that begins at the start) is none, because a thread there
	// may be in the midst of the function.
	Entries []arch.Addr

	Veneers []Range // code outside of the range that goes on into its midst: see FindVeneers
}

// entry reports whether a is one of the target's entries.
func (t *Target) entry(a arch.Addr) bool {
	for _, e := range t.Entries {
		if e == a {
			return true
		}
	}
	return false
}

// clusterGap is the distance between targets from which on they count as two clusters.
// Images lie further apart than their functions.
const clusterGap = 1 << 20

// cluster is a range that holds several targets, ends included.
type cluster struct{ base, size uint64 }

// index finds the target that a word may refer to.
type index struct {
	targets    []Target    // in increasing Start order
	order      []int       // targets[i] is the caller's order[i]
	reach      []arch.Addr // greatest End of targets[:i+1]
	sigreturns []Range     // code that handlers of signals return to
	clusters   []cluster   // of both, and the mark
	few        [3]cluster  // the same, if there are not more; the rest match nothing
	mask       uint64      // bits to clear in a word: PAC
	mark       uint64      // a word of every signal frame; 0: there is none
}

// newIndex copies and sorts the targets, their veneers among them. Empty ones are left out.
func newIndex(targets []Target, sigreturns []Range, mask, mark uint64) *index {
	x := &index{sigreturns: sigreturns, mask: mask, mark: mark}
	add := func(t Target, i int) {
		if t.Start < t.End {
			x.targets = append(x.targets, t)
			x.order = append(x.order, i)
		}
	}
	for i, t := range targets {
		add(t, i)
		for _, v := range t.Veneers {
			add(Target{Range: v, Name: t.Name}, i)
		}
	}
	sort.Sort(x)
	x.reach = make([]arch.Addr, len(x.targets))
	for i, t := range x.targets {
		x.reach[i] = t.End
		if i > 0 {
			x.reach[i] = max(t.End, x.reach[i-1])
		}
	}
	x.cluster()
	return x
}

// cluster computes the clusters of targets and sigreturns.
func (x *index) cluster() {
	all := append([]Range(nil), x.sigreturns...)
	for _, t := range x.targets {
		all = append(all, t.Range)
	}
	if x.mark != 0 {
		all = append(all, Range{Start: arch.Addr(x.mark), End: arch.Addr(x.mark)})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Start < all[j].Start })
	for _, r := range all {
		n := len(x.clusters)
		if n == 0 || uint64(r.Start) > x.clusters[n-1].base+x.clusters[n-1].size+clusterGap {
			x.clusters = append(x.clusters, cluster{base: uint64(r.Start)})
			n++
		}
		c := &x.clusters[n-1]
		c.size = max(c.size, uint64(r.End)-c.base)
	}
	for i := range x.few {
		x.few[i] = cluster{base: 1 << 63} // not an address of user space
	}
	copy(x.few[:], x.clusters)
}

// Len, Less and Swap implement sort.Interface.
func (x *index) Len() int           { return len(x.targets) }
func (x *index) Less(i, j int) bool { return x.targets[i].Start < x.targets[j].Start }
func (x *index) Swap(i, j int) {
	x.targets[i], x.targets[j] = x.targets[j], x.targets[i]
	x.order[i], x.order[j] = x.order[j], x.order[i]
}

// last returns the greatest index of a target with Start <= a, or -1.
func (x *index) last(a arch.Addr) int {
	lo, hi := 0, len(x.targets)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if x.targets[mid].Start <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

// executing returns the index of a target that a thread with program counter pc is
// in the midst of, or -1.
func (x *index) executing(pc arch.Addr) int {
	for i := x.last(pc); i >= 0 && x.reach[i] > pc; i-- {
		if t := &x.targets[i]; t.Contains(pc) && !t.entry(pc) {
			return i
		}
	}
	return -1
}

// returning returns the index of a target that the return address ra leads into, or -1.
func (x *index) returning(ra arch.Addr) int {
	for i := x.last(ra); i >= 0 && x.reach[i] >= ra; i-- {
		if t := &x.targets[i]; ra > t.Start && ra <= t.End {
			return i
		}
	}
	return -1
}

// word returns the index of a target that a word may lead into, or -1. With atEnd, it is the
// address behind the target's last byte, which only a call there makes a
// return address.
func (x *index) word(w arch.Addr) (target int, atEnd bool) {
	target = -1
	for i := x.last(w); i >= 0 && x.reach[i] >= w; i-- {
		t := &x.targets[i]
		switch {
		case t.Contains(w) && !t.entry(w):
			return i, false
		case w == t.End && target < 0:
			target, atEnd = i, true
		}
	}
	return target, atEnd
}

// signal reports whether w shows that a signal frame may be there: it is one's mark, or may be the address that a handler returns to.
func (x *index) signal(w arch.Addr) bool { return x.mark != 0 && uint64(w) == x.mark || x.sigreturn(w) }

// sigreturn reports whether w may be the address that a handler returns to.
func (x *index) sigreturn(w arch.Addr) bool {
	for _, r := range x.sigreturns {
		if r.Contains(w) {
			return true
		}
	}
	return false
}

// next returns the offset of the first word in buf that may lead into a target, or that shows a
// signal frame, or -1. Words have eight bytes. This is where checks of idle threads spend their time:
// nearly all words fail the comparison with the clusters.
func (x *index) next(buf []byte) int {
	if len(x.clusters) > len(x.few) {
		return x.nextOfMany(buf)
	}
	a, b, c, mask := x.few[0], x.few[1], x.few[2], x.mask
	for rest := buf; len(rest) >= 8; rest = rest[8:] {
		w := binary.LittleEndian.Uint64(rest) &^ mask
		if w-a.base > a.size && w-b.base > b.size && w-c.base > c.size {
			continue
		}
		if x.interesting(arch.Addr(w)) {
			return len(buf) - len(rest)
		}
	}
	return -1
}

// nextOfMany is next for any number of clusters.
func (x *index) nextOfMany(buf []byte) int {
	for rest := buf; len(rest) >= 8; rest = rest[8:] {
		w := binary.LittleEndian.Uint64(rest) &^ x.mask
		for _, c := range x.clusters {
			if w-c.base <= c.size && x.interesting(arch.Addr(w)) {
				return len(buf) - len(rest)
			}
		}
	}
	return -1
}

// interesting reports whether w may lead into a target, or shows a signal frame.
func (x *index) interesting(w arch.Addr) bool {
	t, _ := x.word(w)
	return t >= 0 || x.signal(w)
}
