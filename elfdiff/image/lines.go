package image

import (
	"bytes"
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"

	"hotpatch/arch"
)

// lineTable is the DWARF line table of the image. It is read when it is first asked for, one compilation unit at a time.
type lineTable struct {
	mu    sync.Mutex
	data  *dwarf.Data
	units []lineRange // by start
	err   error       // of opening it
	path  string
}

// lineRange is a range of addresses that a compilation unit describes.
type lineRange struct {
	start, end arch.ImageAddr
	unit       *lineUnit
}

// lineUnit is the line program of a compilation unit.
type lineUnit struct {
	cu   *dwarf.Entry
	read bool
	rows []LineEntry // by Addr; a row with Line 0 ends a sequence
	err  error
}

// ErrNoLines is returned where the files hold no line table.
var ErrNoLines = errors.New("no DWARF line table")

// maxLines bounds the rows of one unit, against hostile line programs.
const maxLines = 1 << 26

// Lines returns the rows of the DWARF line table for a function: each says from which address on code belongs to
// which line. The table is read from the file, or its debug file, as far as it is needed.
func (im *Image) Lines(a *Atom) ([]LineEntry, error) {
	t := &im.lines
	t.mu.Lock()
	defer t.mu.Unlock()
	units, err := im.dwarfUnits(a)
	if err != nil {
		return nil, err
	}
	var out []LineEntry
	for _, u := range units {
		rows, err := t.rows(u)
		if err != nil {
			return nil, err
		}
		out = append(out, within(rows, a)...)
	}
	return out, nil
}

// dwarfUnits returns the compilation units that describe the atom, by address; it opens the DWARF data when it is first
// needed. The lock of im.lines is held.
func (im *Image) dwarfUnits(a *Atom) ([]*lineUnit, error) {
	t := &im.lines
	if t.data == nil && t.err == nil {
		t.err = im.openLines()
	}
	if t.err != nil {
		return nil, t.err
	}
	var units []*lineUnit
	i := sort.Search(len(t.units), func(i int) bool { return t.units[i].end > a.Addr })
	for ; i < len(t.units) && t.units[i].start < a.End(); i++ {
		if u := t.units[i].unit; !slices.Contains(units, u) {
			units = append(units, u)
		}
	}
	return units, nil
}

// within returns the rows that say something of a's range.
func within(rows []LineEntry, a *Atom) []LineEntry {
	start := sort.Search(len(rows), func(i int) bool { return rows[i].Addr >= a.Addr })
	end := start + sort.Search(len(rows)-start, func(i int) bool { return rows[start+i].Addr >= a.End() })
	// The row in front may reach into the function.
	if start > 0 && (start == len(rows) || rows[start].Addr > a.Addr) && rows[start-1].Line > 0 {
		start--
	}
	var out []LineEntry
	for _, r := range rows[start:end] {
		if r.Line > 0 {
			out = append(out, r)
		}
	}
	return out
}

// openLines opens the DWARF data and lists the units by address.
func (im *Image) openLines() error {
	t := &im.lines
	if t.path = im.DebugPath; t.path == "" {
		t.path = im.Path
	}
	f, closeFile, err := openFile(t.path)
	if err != nil {
		return fmt.Errorf("line table: %w", err)
	}
	defer closeFile()
	if id, err := f.buildID(); err != nil || im.HasBuildID && !bytes.Equal(id, im.BuildID) {
		return fmt.Errorf("line table: %s has changed since it was loaded", t.path)
	}
	return t.open(f)
}

// open lists the units of the file.
func (t *lineTable) open(f *file) error {
	err := guard(t.path, func() (err error) {
		if t.data, err = f.elf.DWARF(); err != nil {
			return err
		}
		info := f.section(".debug_info")
		if info == nil {
			return nil
		}
		data, err := info.Data()
		if err != nil {
			return err
		}
		return t.list(data)
	})
	if err != nil {
		return fmt.Errorf("line table: %w", err)
	}
	if len(t.units) == 0 {
		return fmt.Errorf("%s: %w", t.path, ErrNoLines)
	}
	return nil
}

// list finds the address ranges of all compilation units. It looks at the first entry of each unit only, and walks from unit header to
// unit header itself: the entries' sibling links may lead in circles.
func (t *lineTable) list(info []byte) error {
	r := t.data.Reader()
	for _, off := range unitEntries(info) {
		r.Seek(off)
		cu, err := r.Next()
		if err != nil {
			return err
		}
		if cu == nil || cu.Tag != dwarf.TagCompileUnit || cu.Val(dwarf.AttrStmtList) == nil {
			continue
		}
		ranges, err := t.data.Ranges(cu)
		if err != nil {
			return err
		}
		u := &lineUnit{cu: cu}
		for _, x := range ranges {
			if x[0] < x[1] {
				t.units = append(t.units, lineRange{arch.ImageAddr(x[0]), arch.ImageAddr(x[1]), u})
			}
		}
	}
	sort.SliceStable(t.units, func(i, j int) bool { return t.units[i].start < t.units[j].start })
	return nil
}

// unitEntries returns the offsets of the units' first entries in .debug_info (DWARF 5, 7.5.1).
func unitEntries(info []byte) []dwarf.Offset {
	var offs []dwarf.Offset
	for at := uint64(0); at+12 <= uint64(len(info)); {
		b := info[at:]
		length, word := uint64(order.Uint32(b)), uint64(4) // word: bytes of an offset
		field := uint64(4)                                 // bytes of unit_length
		if length == 0xffffffff {
			length, word, field = order.Uint64(b[4:]), 8, 12
		}
		if length < 8 || length > uint64(len(b))-field {
			break
		}
		version := order.Uint16(b[field:])
		header := field + 2 + word + 1 // version, debug_abbrev_offset, address_size
		if version >= 5 {
			header++ // unit_type
			switch b[field+2] {
			case 2, 6: // type units: signature and offset of the type
				header += 8 + word
			case 4, 5: // skeleton and split units: identifier
				header += 8
			}
		}
		if header < field+length {
			offs = append(offs, dwarf.Offset(at+header))
		}
		at += field + length
	}
	return offs
}

// rows reads the line program of a unit, once.
func (t *lineTable) rows(u *lineUnit) ([]LineEntry, error) {
	if u.read {
		return u.rows, u.err
	}
	u.read = true
	err := guard(t.path, func() error {
		lr, err := t.data.LineReader(u.cu)
		if err != nil || lr == nil {
			return err
		}
		var e dwarf.LineEntry
		for err = lr.Next(&e); err == nil; err = lr.Next(&e) {
			row := LineEntry{Addr: arch.ImageAddr(e.Address), Line: e.Line}
			if e.File != nil {
				row.File = e.File.Name
			}
			if e.EndSequence {
				row.Line = 0
			}
			if u.rows = append(u.rows, row); len(u.rows) > maxLines {
				return errors.New("line table is too large")
			}
		}
		if err != io.EOF {
			return err
		}
		return nil
	})
	if err != nil {
		u.rows, u.err = nil, fmt.Errorf("line table: %w", err)
		return nil, u.err
	}
	sort.SliceStable(u.rows, func(i, j int) bool {
		x, y := &u.rows[i], &u.rows[j]
		if x.Addr != y.Addr {
			return x.Addr < y.Addr
		}
		return x.Line == 0 && y.Line > 0 // the end of a sequence comes before the start of the next
	})
	return u.rows, nil
}
