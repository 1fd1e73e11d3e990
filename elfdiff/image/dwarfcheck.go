package image

import (
	"bytes"
	"debug/dwarf"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// unitHeader is what the header of a unit says (DWARF 5, 7.5.1).
type unitHeader struct {
	start, first, end uint64 // in .debug_info: of the header, of the first entry, of what follows the unit
	abbrev            uint64 // debug_abbrev_offset
	kind              byte   // unit_type; 0 before DWARF 5
}

// DW_UT_*: kinds of units that have more in their header than others (DWARF 5, 7.5.1).
const (
	unitType         = 2
	unitSkeleton     = 4
	unitSplitCompile = 5
	unitSplitType    = 6
)

// nextUnit reads the unit header at an offset; false at the end, and where the header makes no sense.
func nextUnit(info []byte, at uint64) (unitHeader, bool) {
	if at > uint64(len(info)) || uint64(len(info))-at < 12 {
		return unitHeader{}, false
	}
	b := info[at:]
	length, word, field := uint64(order.Uint32(b)), uint64(4), uint64(4) // bytes of the unit, of an offset, of unit_length
	if length == 0xffffffff {
		length, word, field = order.Uint64(b[4:]), 8, 12
	}
	if length < 3+word || length > uint64(len(b))-field {
		return unitHeader{}, false
	}
	h := unitHeader{start: at, end: at + field + length}
	b = b[field:]
	size := field + 2 + word + 1 // version, debug_abbrev_offset, address_size
	abbrev := uint64(2)
	if order.Uint16(b) >= 5 {
		size++
		abbrev = 4
		switch h.kind = b[2]; h.kind {
		case unitType, unitSplitType:
			size += 8 + word
		case unitSkeleton, unitSplitCompile:
			size += 8
		}
	}
	if field+length < size || abbrev+word > length {
		return unitHeader{}, false
	}
	h.first = at + size
	h.abbrev = uint64(order.Uint32(b[abbrev:]))
	if word == 8 {
		h.abbrev = order.Uint64(b[abbrev:])
	}
	return h, true
}

// unitEntries returns the offsets of the units' first entries in .debug_info.
func unitEntries(info []byte) []dwarf.Offset {
	var offs []dwarf.Offset
	for h, ok := nextUnit(info, 0); ok; h, ok = nextUnit(info, h.end) {
		if h.first < h.end {
			offs = append(offs, dwarf.Offset(h.first))
		}
	}
	return offs
}

// unitEnd returns the end of the unit that holds an offset, or 0 if no unit's entries do.
func (d *DWARF) unitEnd(off dwarf.Offset) dwarf.Offset {
	i := sort.Search(len(d.units), func(i int) bool { return d.units[i][1] > off })
	if i == len(d.units) || off < d.units[i][0] {
		return 0
	}
	return d.units[i][1]
}

// maxAttributes bounds the attributes of one abbreviation: compilers use a few dozen. An entry that has more costs more time than its bytes
// account for, because attributes may take none.
const maxAttributes = 256

// checkUnits holds the units to what keeps debug/dwarf, which reads the whole abbreviation table of each, linear: the tables that
// they use lie apart, and each ends.
func (d *DWARF) checkUnits(abbrev []byte) error {
	var tables []uint64
	for h, ok := nextUnit(d.info, 0); ok; h, ok = nextUnit(d.info, h.end) {
		d.units = append(d.units, [2]dwarf.Offset{dwarf.Offset(h.first), dwarf.Offset(h.end)})
		d.Split = d.Split || h.kind == unitSkeleton
		if h.end != uint64(dwarf.Offset(h.end)) {
			return &FormatError{d.Path, 0, "section .debug_info: larger than 4 GiB; offset in it", h.end}
		}
		tables = append(tables, h.abbrev)
	}
	slices.Sort(tables)
	tables = slices.Compact(tables)
	for i, at := range tables {
		end, err := d.abbrevEnd(abbrev, at)
		if err != nil {
			return err
		}
		if i+1 < len(tables) && tables[i+1] < end {
			return &FormatError{d.Path, 0, "section .debug_abbrev: tables overlap at offset", tables[i+1]}
		}
	}
	return nil
}

// abbrevEnd returns the end of the abbreviation table at an offset (DWARF 5, 7.5.3).
func (d *DWARF) abbrevEnd(abbrev []byte, at uint64) (uint64, error) {
	bad := func(msg string, val uint64) error {
		return &FormatError{d.Path, 0, fmt.Sprintf("section .debug_abbrev: offset %#x: %s", at, msg), val}
	}
	if at > uint64(len(abbrev)) {
		return 0, bad("table lies outside the section; size", uint64(len(abbrev)))
	}
	c := bytesCursor{b: abbrev[at:]}
	for {
		code := c.uleb()
		if code == 0 {
			break
		}
		c.uleb() // tag
		c.take(1)
		const implicitConst = 0x21 // DW_FORM_implicit_const: its value follows
		for n := 0; ; n++ {
			name, form := c.uleb(), c.uleb()
			if form == implicitConst {
				c.uleb()
			}
			if name == 0 && form == 0 {
				break
			}
			if n == maxAttributes {
				return 0, bad("abbreviation has too many attributes; its code", code)
			}
		}
	}
	if c.bad {
		return 0, bad("table has no end; size of the section", uint64(len(abbrev)))
	}
	return uint64(len(abbrev) - len(c.b)), nil
}

// bytesCursor reads numbers off bytes. Behind the end everything is zero, and bad is set.
type bytesCursor struct {
	b   []byte
	bad bool
}

func (c *bytesCursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.b, c.bad = nil, true
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

// number reads a little-endian number of n bytes, at most 8.
func (c *bytesCursor) number(n uint64) uint64 {
	var v [8]byte
	copy(v[:], c.take(n))
	return order.Uint64(v[:])
}

func (c *bytesCursor) uleb() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		// Padded or signed numbers may take more bytes than a uint64 needs; only where they end matters then.
		for n = 0; n < len(c.b) && c.b[n]&0x80 != 0; {
			n++
		}
		if n++; n > len(c.b) {
			c.b, c.bad = nil, true
			return 0
		}
	}
	c.b = c.b[n:]
	return v
}

// text reads a NUL-terminated text and returns its length.
func (c *bytesCursor) text() int {
	n := bytes.IndexByte(c.b, 0)
	if n < 0 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n+1:]
	return n
}
