package types

// Entries of range lists (DWARF 5, 7.25).
const (
	rleEndOfList    = 0
	rleBaseAddressx = 1
	rleStartxEndx   = 2
	rleStartxLength = 3
	rleOffsetPair   = 4
	rleBaseAddress  = 5
	rleStartEnd     = 6
	rleStartLength  = 7
)

// maxRanges bounds how many entries of a list are looked at.
const maxRanges = 1 << 16

// firstAddress returns the start of the first range that is not empty: compilers put the entry of a function there.
func (u *unit) firstAddress(v *value) (first uint64, ok bool) {
	u.eachRange(v, func(start, _ uint64) bool {
		first, ok = start, true
		return false
	})
	return first, ok
}

// eachRange calls f for every range of a list that is not empty, until it returns false.
func (u *unit) eachRange(v *value, f func(start, end uint64) bool) {
	if u.version < 5 {
		u.eachOldRange(v.n, f)
		return
	}
	off := v.n
	if v.class == classIndex { // through the table of offsets
		c := cursor{s: u.file.RngLists}
		at := u.rngBase + v.n*uint64(u.word)
		if v.n > uint64(len(c.s)) || at > uint64(len(c.s)) {
			return
		}
		c.off = int(at)
		off = u.rngBase + c.fixed(u.word)
	}
	if off > uint64(len(u.file.RngLists)) {
		return
	}
	c := &cursor{s: u.file.RngLists, off: int(off)}
	base := u.lowPC
	for range maxRanges {
		start, length, end := u.rangeEntry(c, &base)
		if end || c.err != nil || length > 0 && !f(start, start+length) || u.r.spend(1) != nil {
			return
		}
	}
}

// rangeEntry reads one entry. One that only sets the base has length 0.
func (u *unit) rangeEntry(c *cursor, base *uint64) (start, length uint64, end bool) {
	size := int(u.addrSize)
	switch kind := c.u8(); kind {
	case rleBaseAddressx:
		*base, _ = u.indexedAddr(c.uleb())
	case rleStartxEndx:
		start, _ = u.indexedAddr(c.uleb())
		stop, _ := u.indexedAddr(c.uleb())
		length = stop - start
	case rleStartxLength:
		start, _ = u.indexedAddr(c.uleb())
		length = c.uleb()
	case rleOffsetPair:
		start = c.uleb()
		length = c.uleb() - start
		start += *base
	case rleBaseAddress:
		*base = c.fixed(size)
	case rleStartEnd:
		start = c.fixed(size)
		length = c.fixed(size) - start
	case rleStartLength:
		start = c.fixed(size)
		length = c.uleb()
	default: // rleEndOfList, or unknown
		return 0, 0, true
	}
	return start, length, false
}

// eachOldRange reads a list of .debug_ranges (DWARF 4, 2.17.3).
func (u *unit) eachOldRange(off uint64, f func(start, end uint64) bool) {
	if off > uint64(len(u.file.Ranges)) {
		return
	}
	c := &cursor{s: u.file.Ranges, off: int(off)}
	base, size := u.lowPC, int(u.addrSize)
	for range maxRanges {
		start, end := c.fixed(size), c.fixed(size)
		switch {
		case c.err != nil || start == 0 && end == 0 || u.r.spend(1) != nil:
			return
		case start == ^uint64(0)>>(64-8*size):
			base = end
		case start < end && !f(base+start, base+end):
			return
		}
	}
}
