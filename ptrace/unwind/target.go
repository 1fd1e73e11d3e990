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
	targets  []Target    // in increasing Start order
	order    []int       // targets[i] is the caller's order[i]
	reach    []arch.Addr // greatest End of targets[:i+1]
	clusters []cluster
	mask     uint64 // bits to clear in a word: PAC
}

// newIndex copies and sorts the targets. Empty ones are left out.
func newIndex(targets []Target, mask uint64) *index {
	x := &index{mask: mask}
	for i, t := range targets {
		if t.Start < t.End {
			x.targets = append(x.targets, t)
			x.order = append(x.order, i)
		}
	}
	sort.Sort(x)
	x.reach = make([]arch.Addr, len(x.targets))
	for i, t := range x.targets {
		x.reach[i] = t.End
		if i > 0 {
			x.reach[i] = max(t.End, x.reach[i-1])
		}
		n := len(x.clusters)
		if n == 0 || uint64(t.Start) > x.clusters[n-1].base+x.clusters[n-1].size+clusterGap {
			x.clusters = append(x.clusters, cluster{base: uint64(t.Start)})
			n++
		}
		c := &x.clusters[n-1]
		c.size = max(c.size, uint64(t.End)-c.base)
	}
	return x
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

// next returns the offset of the first word in buf that may lead into a target, or -1.
func (x *index) next(buf []byte) int {
	if len(x.clusters) == 1 {
		return x.nextIn(buf, x.clusters[0])
	}
	for off := 0; off+8 <= len(buf); off += 8 {
		w := binary.LittleEndian.Uint64(buf[off:]) &^ x.mask
		for _, c := range x.clusters {
			if w-c.base <= c.size {
				if t, _ := x.word(arch.Addr(w)); t >= 0 {
					return off
				}
				break
			}
		}
	}
	return -1
}

// nextIn is next for the usual case of a single cluster.
func (x *index) nextIn(buf []byte, c cluster) int {
	mask := x.mask
	for off := 0; off+8 <= len(buf); off += 8 {
		w := binary.LittleEndian.Uint64(buf[off:off+8]) &^ mask
		if w-c.base <= c.size {
			if t, _ := x.word(arch.Addr(w)); t >= 0 {
				return off
			}
		}
	}
	return -1
}
