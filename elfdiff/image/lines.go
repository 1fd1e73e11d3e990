package image

import (
	"bytes"
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
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
	if t.data == nil && t.err == nil {
		t.err = im.openLines()
	}
	if t.err != nil {
		return nil, t.err
	}
	var out []LineEntry
	var last *lineUnit
	i := sort.Search(len(t.units), func(i int) bool { return t.units[i].end > a.Addr })
	for ; i < len(t.units) && t.units[i].start < a.End(); i++ {
		u := t.units[i].unit
		if u == last {
			continue
		}
		last = u
		rows, err := t.rows(u)
		if err != nil {
			return nil, err
		}
		out = append(out, within(rows, a)...)
	}
	return out, nil
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
	err = guard(t.path, func() error {
		if t.data, err = f.elf.DWARF(); err != nil {
			return err
		}
		return t.list()
	})
	if err != nil {
		return fmt.Errorf("line table: %w", err)
	}
	if len(t.units) == 0 {
		return fmt.Errorf("%s: %w", t.path, ErrNoLines)
	}
	return nil
}

// list finds the address ranges of all compilation units.
func (t *lineTable) list() error {
	for r := t.data.Reader(); ; r.SkipChildren() {
		cu, err := r.Next()
		if err != nil {
			return err
		}
		if cu == nil {
			break
		}
		if cu.Tag != dwarf.TagCompileUnit || cu.Val(dwarf.AttrStmtList) == nil {
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
