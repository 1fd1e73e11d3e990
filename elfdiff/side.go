package elfdiff

import (
	"slices"
	"strings"
	"sync"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// side is one of the two builds with what the comparison knows about it.
type side struct {
	im     *image.Image
	units  []*unit // functions, by address
	start  []*unit // the start files' and the linker's code, which is not compared but refers to data, too
	byAtom []*unit // by atom ID: the function that it is part of, or nil; see unitOf
	// users lists the functions that refer to each atom, by atom ID: those of atom i are users[firstUser[i]:firstUser[i+1]].
	users     []*unit
	firstUser []int32
	taken     []arch.ImageAddr        // addresses that something takes, sorted; not those at which an atom starts
	relTables map[arch.ImageAddr]bool // tables of distances from their own start
	// tables are where the functions' jump tables start, sorted.
	tables []arch.ImageAddr
	// takenData are those that words of data hold.
	takenData []arch.ImageAddr
	// holders are the data objects that hold the address of an atom; see holdersOf.
	holders map[*image.Atom][]*image.Atom

	walkable walkedObjects

	accessOnce sync.Once
	accesses   []claim // see accessed

	emptyOnce sync.Once
	empties   map[image.EmptyFunction]bool // see isEmpty
}

// has reports whether a is an atom of the build, and not one that stands for a constant without a symbol.
func (s *side) has(a *image.Atom) bool {
	return a != nil && a.ID >= 0 && a.ID < len(s.im.Atoms) && s.im.Atoms[a.ID] == a
}

// unitOf returns the function that an atom is part of, or nil.
func (s *side) unitOf(a *image.Atom) *unit {
	if !s.has(a) {
		return nil
	}
	return s.byAtom[a.ID]
}

// usersOf lists the functions that refer to an atom, by address. The caller must not change the slice.
func (s *side) usersOf(a *image.Atom) []*unit {
	if !s.has(a) {
		return nil
	}
	return s.users[s.firstUser[a.ID]:s.firstUser[a.ID+1]]
}

// findUnits lists the functions of the build.
func (s *side) findUnits() {
	s.byAtom = make([]*unit, len(s.im.Atoms))
	n := 0
	for _, a := range s.im.Atoms {
		if a.IsCode() {
			n++
		}
	}
	units, parts := make([]unit, 0, n), make([]*image.Atom, 0, n) // in two pieces of memory
	for _, a := range s.im.Atoms {
		if !a.IsCode() || a.Parent != nil {
			continue
		}
		first := len(parts)
		parts = append(parts, a)
		if a.Kind != image.Code {
			parts = append(parts, a.Parts...)
		}
		units = append(units, unit{im: s.im, parts: parts[first:len(parts):len(parts)], extras: noExtras})
		u := &units[len(units)-1]
		if a.Kind == image.Code {
			s.start = append(s.start, u)
			continue
		}
		slices.SortStableFunc(u.parts[1:], func(a, b *image.Atom) int { return strings.Compare(stripSuffix(a.Name), stripSuffix(b.Name)) })
		s.units = append(s.units, u)
		for _, p := range u.parts {
			s.byAtom[p.ID] = u
		}
	}
}

// canonicalize decodes both images and brings every function into canonical form, on all cores.
func (d *differ) canonicalize() error {
	d.bothSides((*side).findUnits)
	all := slices.Concat(d.old.units, d.new.units, d.old.start, d.new.start)
	parallel(len(all), func() func(i int) {
		c := &canonicalizer{decoders: make(map[*image.Image]*image.Decoder)}
		return func(i int) { c.canonicalize(all[i]) }
	})
	d.bothSides(func(s *side) {
		s.findUsers()
		s.findTaken()
	})
	return nil
}

// bothSides calls f for both builds at the same time.
func (d *differ) bothSides(f func(s *side)) {
	var wg sync.WaitGroup
	wg.Go(func() { f(&d.old) })
	wg.Go(func() { f(&d.new) })
	wg.Wait()
}

// findTaken fills in taken and relTables.
func (s *side) findTaken() {
	s.relTables = make(map[arch.ImageAddr]bool)
	for _, u := range s.units {
		for _, addr := range u.relTables {
			s.relTables[addr] = true
		}
		s.takenBy(u)
	}
	s.takenByData()
	slices.Sort(s.taken)
	s.taken = slices.Compact(s.taken)
	s.takenByTables()
	s.taken = slices.Clone(slices.Compact(s.taken)) // of the size that it needs
}

// takenBy adds the addresses that a function takes. Where an atom starts is left out: that is known anyway.
func (s *side) takenBy(u *unit) {
	for i := range u.refs {
		r := &u.refs[i]
		if r.kind == image.RefMem {
			continue
		}
		addr := u.addr(r)
		if a := u.atomOf(r); a == nil || a.Kind == image.TLSObject || a.Addr != addr {
			s.taken = append(s.taken, addr)
		}
	}
}

// findUsers fills in users: it counts them, then lists them.
func (s *side) findUsers() {
	n := len(s.im.Atoms)
	s.firstUser = make([]int32, n+1)
	s.eachUse(func(_ *unit, id int) { s.firstUser[id+1]++ })
	for i := range n {
		s.firstUser[i+1] += s.firstUser[i]
	}
	s.users = make([]*unit, s.firstUser[n])
	next := slices.Clone(s.firstUser[:n])
	s.eachUse(func(u *unit, id int) {
		s.users[next[id]] = u
		next[id]++
	})
}

// eachUse calls f once for each function and each atom that it refers to.
func (s *side) eachUse(f func(u *unit, id int)) {
	last := make([]*unit, len(s.im.Atoms)) // by atom: the function that was told last to refer to it
	for _, u := range s.units {
		for i := range u.refs {
			if a := u.atomOf(&u.refs[i]); s.has(a) && last[a.ID] != u {
				last[a.ID] = u
				f(u, a.ID)
			}
		}
	}
}

// takenByData adds the addresses that relocated words hold, and those of jump tables.
func (s *side) takenByData() {
	for _, r := range s.im.DynRelocs(0, ^arch.ImageAddr(0)) {
		if r.Sym == "" && r.Size == 8 {
			s.takenData = append(s.takenData, arch.ImageAddr(r.Addend))
		}
	}
	for _, r := range s.im.LinkRelocs(0, ^arch.ImageAddr(0)) {
		if sec := s.im.SectionAt(r.Addr); sec != nil && !sec.Exec() && !r.TLS && !r.Undef && !r.Number {
			s.takenData = append(s.takenData, r.Value+arch.ImageAddr(r.Addend))
		}
	}
	s.taken = append(s.taken, s.takenData...)
	for _, u := range s.start {
		s.takenBy(u)
	}
	s.findTables()
	s.taken = append(s.taken, s.tables...)
}

// findTables fills in tables.
func (s *side) findTables() {
	for _, u := range slices.Concat(s.units, s.start) {
		for _, t := range u.tables {
			s.tables = append(s.tables, t.addr)
		}
	}
	slices.Sort(s.tables)
	s.tables = slices.Compact(s.tables)
}

// tableEnds reports whether a jump table at the address has no more than size bytes, because another one starts there: one function found it
// at an address that it takes, and it leads into that function. Tables of compilers do not overlap.
func (s *side) tableEnds(addr arch.ImageAddr, size uint64) bool {
	_, ok := slices.BinarySearch(s.tables, addr+arch.ImageAddr(size))
	return ok
}

// takenByTables adds what the entries of relative tables lead to. The addresses so far are sorted.
func (s *side) takenByTables() {
	var more []arch.ImageAddr
	add := func(a *image.Atom) {
		for _, r := range s.im.RelativeRefs(a) {
			more = append(more, r.Place.Addr)
		}
	}
	for addr := range s.relTables {
		if s.im.AtomAt(addr) == nil {
			add(s.anon(addr))
		}
	}
	for _, a := range s.im.Atoms {
		if s.relative(a) {
			add(a)
		}
	}
	s.taken = append(s.taken, more...)
	slices.Sort(s.taken)
}
