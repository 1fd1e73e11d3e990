package image

import (
	"cmp"
	"slices"
	"strings"

	"hotpatch/arch"
)

// mapping tells code from data in sections of code, as mapping symbols do: $x and $d (ELF for the Arm 64-bit Architecture, 5.5). It is empty where
// there are none.
type mapping struct {
	addrs []arch.ImageAddr // sorted
	data  []bool           // by index in addrs: data starts there
}

// mapMark is one mapping symbol.
type mapMark struct {
	addr arch.ImageAddr
	data bool
}

// set fills in the mapping.
func (m *mapping) set(marks []mapMark) {
	slices.SortStableFunc(marks, func(a, b mapMark) int { return cmp.Compare(a.addr, b.addr) })
	for _, k := range marks {
		m.addrs, m.data = append(m.addrs, k.addr), append(m.data, k.data)
	}
}

// isDataMark reports whether the mapping says that what lies at an address among code is data.
func (im *Image) isDataMark(addr arch.ImageAddr) bool {
	m := &im.mapping
	i, found := slices.BinarySearch(m.addrs, addr)
	for found && i+1 < len(m.addrs) && m.addrs[i+1] == addr {
		i++
	}
	if !found {
		i--
	}
	return i >= 0 && m.data[i]
}

// isMappingName reports whether a symbol's name is one of a mapping symbol, and whether of data.
func isMappingName(name string) (data, ok bool) {
	kind, _, _ := strings.Cut(name, ".")
	return kind == "$d", kind == "$x" || kind == "$d"
}
