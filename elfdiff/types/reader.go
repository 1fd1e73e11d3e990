package types

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// reader reads the debug sections of one build.
type reader struct {
	b          *Build
	file       *file
	signatures map[uint64]ref // of type units
	tables     map[tableKey]*abbrevs
	work       uint64 // how much may still be done, in bytes looked at

	keys    map[string]ID // types, by what they are
	layouts map[string]*Layout
	buf     []byte // a key that is being made
	scratch Layout // one that is being read

	batch
	stamp []uint32 // by ID: the number of the last function that mentions it
	slot  []int32  // by ID: where that mention is
}

// workFactor bounds the work by a multiple of the sections' size: entries are looked at once, names and the members of types a
// few times.
const workFactor = 256

// ErrNone is returned where there are no units.
var ErrNone = errors.New("no DWARF units")

// Read reads the types of one build. The sections must be of one file and its alternate file.
func Read(s *Sections) (*Build, error) {
	f := &file{Sections: s}
	if s.Alt != nil {
		f.alt = &file{Sections: s.Alt}
	}
	r := newReader(f)
	if err := r.readAll(f); err != nil {
		return nil, err
	}
	if r.b.Units == 0 {
		return nil, ErrNone
	}
	r.finish()
	return r.b, nil
}

func newReader(f *file) *reader {
	total := uint64(len(f.Info) + len(f.Types) + len(f.Abbrev))
	if f.alt != nil {
		total += uint64(len(f.alt.Info) + len(f.alt.Abbrev))
	}
	r := &reader{
		b:          &Build{types: make([]typ, 1), byName: make(map[string]int32)},
		file:       f,
		signatures: make(map[uint64]ref),
		tables:     make(map[tableKey]*abbrevs),
		work:       workFactor*total + 1<<20,
		keys:       make(map[string]ID),
		layouts:    make(map[string]*Layout),
	}
	r.keys[string([]byte{byte(Void)})] = 0
	return r
}

// finish sorts what is looked up by address.
func (r *reader) finish() {
	slices.SortStableFunc(r.b.Funcs, func(x, y Func) int { return cmp.Compare(x.Addr, y.Addr) })
	slices.SortFunc(r.b.Covered, func(x, y [2]uint64) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
}

func (r *reader) readAll(f *file) error {
	units, err := r.headers(f, spaceInfo)
	if err != nil {
		return err
	}
	more, err := r.headers(f, spaceTypes)
	if err != nil {
		return err
	}
	if !refersAcross(f.Abbrev) && len(more) == 0 {
		for i := range units {
			if err := r.readBatch(units[i : i+1]); err != nil {
				return err
			}
			units[i].table = nil // as large as what was read
		}
		return nil
	}
	units = append(units, more...)
	if f.alt != nil {
		more, err := r.headers(f.alt, spaceAlt)
		if err != nil {
			return fmt.Errorf("alternate file: %w", err)
		}
		units = append(units, more...)
	}
	return r.readBatch(units)
}

// refersAcross reports whether entries of one unit may refer to those of another.
func refersAcross(abbrev string) bool {
	c := &cursor{section: ".debug_abbrev", s: abbrev}
	for c.more() {
		if c.uleb() == 0 {
			continue // the end of a table
		}
		c.uleb()
		c.u8()
		for c.err == nil {
			name, form := c.uleb(), c.uleb()
			switch form {
			case formRefAddr, formRefSig8, formGNURefAlt, formRefSup4, formRefSup8, formIndirect:
				return true
			case formImplicit:
				c.sleb()
			}
			if name == 0 && form == 0 {
				break
			}
		}
	}
	return c.err != nil
}

// spend counts work.
func (r *reader) spend(n uint64) error {
	if n > r.work {
		return &FormatError{".debug_info", 0, "the data refers to the same parts of itself again and again; bytes looked at", n}
	}
	r.work -= n
	return nil
}

// batch is what is held of the units that are read together.
type batch struct {
	units  []*unit
	nodes  []node
	ids    []ID             // of nodes: what they are, once it is known
	names  map[int32]string // qualified names of scopes
	alias  map[int32]int32  // types without a name: the typedef that names them
	index  []int32          // of a single unit: nodes by offset, plus 1
	depth  int              // of types that are being made
	limit  int              // how many nodes there may be
	number uint32           // of the function whose mentions are collected
	walked []uint32         // nodes: the number of the last function for which what is below was walked
}

// The state of a node whose type is not known yet.
const (
	idNone ID = -1 // not looked at
	idBusy ID = -2 // being looked at
)

// readBatch reads units that refer to entries of each other only.
func (r *reader) readBatch(units []*unit) error {
	size := 0
	for _, u := range units {
		size += u.end - u.start
	}
	r.units, r.nodes, r.limit = units, r.nodes[:0], size/nodeBytes+64
	r.names, r.alias = make(map[int32]string), make(map[int32]int32)
	for _, u := range units {
		if err := r.collect(u); err != nil {
			return err
		}
	}
	r.indexNodes()
	r.ids = slices.Grow(r.ids[:0], len(r.nodes))[:len(r.nodes)]
	for i := range r.ids {
		r.ids[i] = idNone
	}
	r.walked = slices.Grow(r.walked[:0], len(r.nodes))[:len(r.nodes)]
	clear(r.walked)
	r.nameByTypedefs()
	for i := range r.nodes {
		if err := r.take(int32(i)); err != nil {
			return err
		}
	}
	return nil
}

// take enters what a node defines into the build.
func (r *reader) take(i int32) error {
	switch n := &r.nodes[i]; n.tag {
	case tagStructureType, tagClassType, tagUnionType, tagInterfaceType, tagEnumerationType:
		if n.flags&declaration != 0 {
			return nil
		}
		return r.define(i)
	case tagVariable:
		return r.variable(i)
	case tagSubprogram:
		return r.function(i)
	}
	return nil
}

// indexNodes prepares the lookup by offset.
func (r *reader) indexNodes() {
	r.index = r.index[:0]
	if len(r.units) != 1 {
		return
	}
	u := r.units[0]
	r.index = slices.Grow(r.index, u.end-u.start)[:u.end-u.start]
	clear(r.index)
	for i := range r.nodes {
		r.index[int(r.nodes[i].off&(1<<spaceShift-1))-u.start] = int32(i) + 1
	}
}

// at returns the node of an entry, or -1: there is none, or it is of no interest.
func (r *reader) at(x ref) int32 {
	if x == 0 {
		return -1
	}
	if len(r.units) == 1 {
		off := int(x&(1<<spaceShift-1)) - r.units[0].start
		if x>>spaceShift != ref(r.units[0].space) || off < 0 || off >= len(r.index) {
			return -1
		}
		return r.index[off] - 1
	}
	i := sort.Search(len(r.nodes), func(i int) bool { return r.nodes[i].off >= x })
	if i == len(r.nodes) || r.nodes[i].off != x {
		return -1
	}
	return int32(i)
}

// unitOf returns the unit of a node.
func (r *reader) unitOf(n *node) *unit {
	i := sort.Search(len(r.units), func(i int) bool { u := r.units[i]; return makeRef(u.space, uint64(u.start)) > n.off })
	return r.units[max(i-1, 0)]
}
