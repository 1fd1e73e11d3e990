package image

import (
	"debug/elf"
	"strings"
)

// stringTable hands out the strings of an SHT_STRTAB section. Records may share strings and their tails, so their
// lengths are bounded in all: the time for a table is linear in its size and in the number of records that refer to it.
type stringTable struct {
	path string
	sec  *elf.Section
	data string // strings handed out are parts of it
	left int    // bytes that may still be handed out
}

// Bounds of what a string table hands out.
const (
	stringFactor    = 8   // times the table's size
	stringPerRecord = 256 // bytes, on average; linkers merge equal names of many files
)

// newStringTable takes the contents of a string table, which n records refer to, and to which nobody may write any more.
func newStringTable(path string, sec *elf.Section, data []byte, n int) *stringTable {
	return &stringTable{path: path, sec: sec, data: asString(data), left: stringFactor*len(data) + stringPerRecord*n + stringPerRecord}
}

// at returns the NUL-terminated string at off; "" if it has no end.
func (t *stringTable) at(off uint64) (string, error) {
	if off >= uint64(len(t.data)) {
		return "", nil
	}
	s := t.data[off:]
	n := strings.IndexByte(s[:min(len(s), t.left+1)], 0)
	switch {
	case n >= 0:
		t.left -= n
		return s[:n], nil
	case len(s) > t.left:
		return "", &FormatError{t.path, t.sec.Offset + off,
			"section " + t.sec.Name + ": names overlap: together they are far longer than the table; offset in it", off}
	}
	return "", nil
}
