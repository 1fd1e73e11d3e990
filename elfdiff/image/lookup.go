package image

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"hotpatch/arch"
)

// index finds sections and atoms by address.
type index struct {
	sections []*Section       // disjoint, by Addr; .tbss left out
	atoms    []*Atom          // TLS objects left out, as in Image.Atoms
	starts   []arch.ImageAddr // by index in atoms: where it starts
	outer    []int32          // by index in atoms: the nearest atom in front that ends further on, or -1
	// buckets shortens the search for an address: by its distance from the first atom, in units of 1<<shift bytes, the first atom
	// that starts there or behind. There are about as many as atoms.
	buckets []int32
	shift   uint
	tls     []*Atom // by Addr
	names   nameIndex
}

// maxOverlap bounds how many atoms may hold the same address. Compilers nest none, hand-written code a few.
const maxOverlap = 64

// build fills in the index. It fails if more than maxOverlap atoms hold one address: the costs of looking up addresses and of decoding
// grow with that number.
func (ix *index) build(atoms []*Atom) error {
	ix.names.build(atoms)
	for _, a := range atoms {
		if a.Kind == TLSObject {
			ix.tls = append(ix.tls, a)
			continue
		}
		if err := ix.add(a); err != nil {
			return err
		}
	}
	ix.fillBuckets()
	return nil
}

// fillBuckets fills in what shortens searches.
func (ix *index) fillBuckets() {
	n := len(ix.starts)
	if n == 0 {
		return
	}
	extent := uint64(ix.starts[n-1] - ix.starts[0])
	for ix.shift = 0; extent>>ix.shift > uint64(n); {
		ix.shift++
	}
	ix.buckets = make([]int32, extent>>ix.shift+2)
	i := 0
	for b := range ix.buckets {
		for i < n && uint64(ix.starts[i]-ix.starts[0]) < uint64(b)<<ix.shift {
			i++
		}
		ix.buckets[b] = int32(i)
	}
}

// add appends an atom that starts at or behind all others.
func (ix *index) add(a *Atom) error {
	last := int32(len(ix.atoms)) - 1
	o := last
	for o >= 0 && ix.atoms[o].End() <= a.End() {
		o = ix.outer[o]
	}
	ix.atoms, ix.starts, ix.outer = append(ix.atoms, a), append(ix.starts, a.Addr), append(ix.outer, o)
	depth := 0
	for i := last; i >= 0; {
		b := ix.atoms[i]
		if b.End() <= a.Addr {
			i = ix.outer[i]
			continue
		}
		if depth++; depth >= maxOverlap {
			return fmt.Errorf("more than %d symbols overlap, as %s and %s do, at address %#x", maxOverlap, b.Name, a.Name, uint64(a.Addr))
		}
		i--
	}
	return nil
}

// after returns the index of the first atom that starts behind addr.
func (ix *index) after(addr arch.ImageAddr) int {
	n := len(ix.starts)
	if n == 0 || addr < ix.starts[0] {
		return 0
	}
	if addr >= ix.starts[n-1] {
		return n
	}
	b := uint64(addr-ix.starts[0]) >> ix.shift
	lo, hi := int(ix.buckets[b]), int(ix.buckets[b+1])
	for lo < hi {
		if m := (lo + hi) / 2; ix.starts[m] > addr {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// SectionAt returns the section that holds addr, or nil. Thread-local zero data (.tbss) has no address.
func (im *Image) SectionAt(addr arch.ImageAddr) *Section {
	ss := im.index.sections
	lo, hi := 0, len(ss)
	for lo < hi { // the first section behind addr
		if m := (lo + hi) / 2; ss[m].Addr > addr {
			hi = m
		} else {
			lo = m + 1
		}
	}
	if lo == 0 || addr >= ss[lo-1].End() {
		return nil
	}
	return ss[lo-1]
}

func (im *Image) sectionNamed(name string) *Section {
	for _, s := range im.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Bytes returns size bytes of the file's contents at addr, with the instructions of veneers in their places (see [Veneer]). It is false if they
// are not in one section, or not in the file (NOBITS). The caller must not change them.
func (im *Image) Bytes(addr arch.ImageAddr, size uint64) ([]byte, bool) {
	s := im.SectionAt(addr)
	if s == nil || s.Data == nil || size > uint64(s.End()-addr) {
		return nil, false
	}
	off := uint64(addr - s.Addr)
	return s.Data[off : off+size : off+size], true
}

// Content returns the bytes in the file that an atom starts out with. It is false if the file holds none: the atom starts out as
// zeros. Unlike Bytes it knows thread-local objects: those of .tbss share their addresses with the section that follows.
func (im *Image) Content(a *Atom) ([]byte, bool) {
	if a.Kind != TLSObject {
		return im.Bytes(a.Addr, a.Size)
	}
	s := a.Section
	if s == nil || s.Data == nil || a.Addr < s.Addr || a.Size > uint64(s.End()-a.Addr) {
		return nil, false
	}
	off := uint64(a.Addr - s.Addr)
	return s.Data[off : off+a.Size : off+a.Size], true
}

// AtomAt returns the atom at addr: one that starts there (the largest), else the smallest
// one that covers addr, else nil. Thread-local objects are not found, see [Image.TLSAt].
func (im *Image) AtomAt(addr arch.ImageAddr) *Atom {
	var room [4]*Atom
	if cover := im.covering(room[:0], addr); len(cover) > 0 {
		return cover[0]
	}
	// A label without a size covers nothing but stands for its address.
	if i := im.index.after(addr) - 1; i >= 0 && im.index.atoms[i].Addr == addr {
		return im.index.atoms[i]
	}
	return nil
}

// Covering returns the atoms whose range holds addr: those that start there first, by falling
// size, then the others from the smallest to the largest.
func (im *Image) Covering(addr arch.ImageAddr) []*Atom { return im.covering(nil, addr) }

// covering is Covering that appends to found, which is empty.
func (im *Image) covering(found []*Atom, addr arch.ImageAddr) []*Atom {
	ix := &im.index
	for i := int32(ix.after(addr)) - 1; i >= 0; {
		a := ix.atoms[i]
		if addr >= a.End() {
			i = ix.outer[i]
			continue
		}
		found = append(found, a)
		i--
	}
	if len(found) > 1 {
		slices.SortStableFunc(found, func(a, b *Atom) int {
			switch starts := a.Addr == addr; {
			case starts != (b.Addr == addr):
				if starts {
					return -1
				}
				return 1
			case starts:
				return cmp.Compare(b.Size, a.Size)
			}
			return cmp.Compare(a.Size, b.Size)
		})
	}
	return found
}

// EndingAt returns the atoms whose last byte is the one in front of addr.
func (im *Image) EndingAt(addr arch.ImageAddr) []*Atom {
	if addr == 0 {
		return nil
	}
	var found []*Atom
	for _, a := range im.Covering(addr - 1) {
		if a.End() == addr {
			found = append(found, a)
		}
	}
	return found
}

// TLSAt returns the thread-local object that covers the address in the TLS template, or nil.
func (im *Image) TLSAt(addr arch.ImageAddr) *Atom {
	t := im.index.tls
	for i := sort.Search(len(t), func(i int) bool { return t[i].Addr > addr }) - 1; i >= 0; i-- {
		if addr < t[i].End() {
			return t[i]
		}
		if t[i].Size > 0 {
			break
		}
	}
	return nil
}

// Named returns the atoms that have the name, by address.
func (im *Image) Named(name string) []*Atom { return slices.Collect(im.index.names.named(name)) }

// contains reports whether addr lies in a loaded segment, or directly behind one.
func (im *Image) contains(addr arch.ImageAddr) bool {
	for _, s := range im.segments {
		if addr >= s.addr && uint64(addr-s.addr) <= s.size {
			return true
		}
	}
	return false
}

// Near returns the atoms that are no further than reach bytes away from an address: those that hold it, and those that end or start that near.
// One that ends at the address is 0 bytes away.
func (im *Image) Near(addr arch.ImageAddr, reach uint64) []*Atom {
	ix := &im.index
	start := addr - min(addr, arch.ImageAddr(reach))
	var found []*Atom
	for i := int32(ix.after(addr+arch.ImageAddr(reach))) - 1; i >= 0; {
		a := ix.atoms[i]
		if a.End() < start {
			i = ix.outer[i]
			continue
		}
		found = append(found, a)
		i--
	}
	return found
}

// Nameless reports whether the bytes from an address to another are of one section and of no atom.
func (im *Image) Nameless(from, to arch.ImageAddr) bool {
	return from < to && im.AtomAt(from) == nil && im.within(from, to-1, 1)
}

// Gap is a run of bytes of a section that no atom holds.
type Gap struct {
	Section        *Section // nil: there is no such run
	Start, End     arch.ImageAddr
	Before, Behind *Atom // of the same section; nil: the section's own start or end
}

// Gap returns the run of bytes around an address that no atom holds.
func (im *Image) Gap(addr arch.ImageAddr) Gap {
	s := im.SectionAt(addr)
	if s == nil || im.AtomAt(addr) != nil {
		return Gap{}
	}
	g := Gap{Section: s, Start: s.Addr, End: s.End()}
	if a := im.NextAtom(addr); a != nil && a.Section == s {
		g.End, g.Behind = a.Addr, a
	}
	for _, a := range im.Near(addr, uint64(addr-s.Addr)) {
		if a.Section == s && a.End() <= addr && (g.Before == nil || a.End() > g.Start) {
			g.Start, g.Before = a.End(), a
		}
	}
	return g
}
