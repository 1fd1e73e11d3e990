package types

import "math"

// unit is one unit of .debug_info or .debug_types.
type unit struct {
	r        *reader
	file     *file
	space    int
	start    int // of the header, in the section
	first    int // of the first entry
	end      int
	version  uint16
	kind     uint64 // DW_UT_*, 0 before DWARF 5
	addrSize uint8
	word     int // bytes of an offset
	abbrevs  uint64
	table    *abbrevs

	// What the unit's first entry says.
	name              string
	strBase, addrBase uint64
	rngBase, lowPC    uint64
	highPC, ranges    value
	language          uint64
	lines             uint64 // offset in .debug_line
	hasLines          bool
	skeleton          bool // what it describes is in another file
	tag               uint16

	files []string // base names, once they were asked for
}

// file is the sections of one file, and the alternate file's.
type file struct {
	*Sections
	alt *file
}

func (f *file) section(space int) (name, data string) {
	if space == spaceTypes {
		return ".debug_types", f.Types
	}
	return ".debug_info", f.Info
}

// headers reads the headers of all units of a section (DWARF 5, 7.5.1).
func (r *reader) headers(f *file, space int) ([]*unit, error) {
	name, data := f.section(space)
	if uint64(len(data)) > math.MaxInt32*2 {
		return nil, &FormatError{name, 0, "the section is too large", uint64(len(data))}
	}
	var out []*unit
	for c := (&cursor{section: name, s: data}); c.more(); {
		u := &unit{r: r, file: f, space: space, start: c.off, word: 4}
		length := c.fixed(4)
		if length == 0xffffffff {
			length, u.word = c.fixed(8), 8
		}
		if c.err == nil && length > uint64(len(data)-c.off) {
			return nil, &FormatError{name, uint64(u.start), "a unit runs past the end of the section; length", length}
		}
		u.end = c.off + int(length)
		u.header(c)
		if c.err != nil {
			return nil, c.err
		}
		if c.off = u.end; u.first < u.end {
			out = append(out, u)
		}
	}
	return out, nil
}

// header reads what follows the unit's length, and enters the type of a type unit in the table of signatures.
func (u *unit) header(c *cursor) {
	if u.version = uint16(c.fixed(2)); u.version < 2 || u.version > 5 {
		c.fail("a unit of an unknown DWARF version", uint64(u.version))
		return
	}
	var signature, off uint64
	if u.version >= 5 {
		u.kind = c.u8()
		u.addrSize = uint8(c.u8())
		u.abbrevs = c.fixed(u.word)
		switch u.kind {
		case unitType, unitSplitType:
			signature, off = c.fixed(8), c.fixed(u.word)
		case unitSkeleton, unitSplitCompile:
			c.fixed(8)
		}
	} else {
		u.abbrevs = c.fixed(u.word)
		u.addrSize = uint8(c.u8())
		if u.space == spaceTypes {
			signature, off = c.fixed(8), c.fixed(u.word)
		}
	}
	if c.err == nil && u.addrSize != 8 && u.addrSize != 4 {
		c.fail("a unit with addresses of an unknown size", uint64(u.addrSize))
	}
	if u.first = c.off; off > 0 && off < uint64(u.end-u.start) && u.space != spaceAlt {
		u.r.signatures[signature] = makeRef(u.space, uint64(u.start)+off)
	}
}

// open reads the unit's first entry: the bases that other attributes need.
func (u *unit) open() error {
	if u.table == nil {
		t, err := u.r.abbrevsAt(u.file, u.abbrevs)
		if err != nil {
			return err
		}
		u.table = t
	}
	name, data := u.file.section(u.space)
	c := &cursor{section: name, s: data[:u.end], off: u.first}
	a := u.table.find(c.uleb())
	if a == nil {
		return c.err
	}
	u.tag = a.tag
	if u.version >= 5 { // the default of a unit in a file of its own (DWARF 5, 7.26 and 7.27): behind the header
		u.strBase, u.addrBase, u.rngBase = 8, 8, 12
	}
	at := c.off
	for range 2 { // the bases may stand behind what needs them
		c.off = at
		for i := range a.attrs {
			u.rootAttr(a.attrs[i].name, u.value(c, &a.attrs[i]))
		}
	}
	return c.err
}

// rootAttr notes an attribute of the unit's first entry.
func (u *unit) rootAttr(name uint16, v value) {
	switch name {
	case attrName:
		u.name = v.s
	case attrStrOffsetsBase:
		u.strBase = v.n
	case attrAddrBase, attrGNUAddrBase:
		u.addrBase = v.n
	case attrRnglistsBase:
		u.rngBase = v.n
	case attrLowPC:
		u.lowPC, _ = u.address(&v)
	case attrHighPC:
		u.highPC = v
	case attrRanges:
		u.ranges = v
	case attrLanguage:
		u.language = v.n
	case attrStmtList:
		u.lines, u.hasLines = v.n, true
	case attrDwoName, attrGNUDwoName:
		u.skeleton = true
	}
}

// address returns the address that a value is.
func (u *unit) address(v *value) (uint64, bool) {
	if v.class == classIndex {
		return u.indexedAddr(v.n)
	}
	return v.n, v.class == classAddr
}

// langAssembler is DW_LANG_Mips_Assembler, which assemblers give their units.
const langAssembler = 0x8001

// covered enters the addresses of the unit's code.
func (u *unit) covered(b *Build) {
	if u.language == langAssembler {
		return // it has no types
	}
	add := func(start, end uint64) bool {
		if start < end && start != 0 {
			b.Covered = append(b.Covered, [2]uint64{start, end})
		}
		return true
	}
	if u.ranges.class != classNone {
		u.eachRange(&u.ranges, add)
	} else if end, ok := u.address(&u.highPC); ok {
		add(u.lowPC, end)
	} else if n, ok := u.highPC.constant(); ok { // a length (DWARF 5, 2.17.2)
		add(u.lowPC, u.lowPC+n)
	}
}
