package image

import (
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"hotpatch/arch"
)

// lineTable is the DWARF line table of the whole image, read when it is first asked for.
type lineTable struct {
	once sync.Once
	rows []LineEntry // by Addr; a row with Line 0 ends a sequence
	err  error
}

// ErrNoLines is returned where the files hold no line table.
var ErrNoLines = errors.New("no DWARF line table")

// maxLines bounds the rows that are kept, against hostile line programs.
const maxLines = 1 << 27

// Lines returns the rows of the DWARF line table for a function: each says from which address on code belongs to
// which line. The table is read from the file, or its debug file, on the first call.
func (im *Image) Lines(a *Atom) ([]LineEntry, error) {
	t := &im.lines
	t.once.Do(func() { t.rows, t.err = im.readLines() })
	if t.err != nil {
		return nil, t.err
	}
	start := sort.Search(len(t.rows), func(i int) bool { return t.rows[i].Addr >= a.Addr })
	end := start + sort.Search(len(t.rows)-start, func(i int) bool { return t.rows[start+i].Addr >= a.End() })
	// The row in front may reach into the function.
	if start > 0 && (start == len(t.rows) || t.rows[start].Addr > a.Addr) && t.rows[start-1].Line > 0 {
		start--
	}
	var out []LineEntry
	for _, r := range t.rows[start:end] {
		if r.Line > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

func (im *Image) readLines() ([]LineEntry, error) {
	path := im.DebugPath
	if path == "" {
		path = im.Path
	}
	f, closeFile, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("line table: %w", err)
	}
	defer closeFile()
	if id, err := f.buildID(); err != nil || im.HasBuildID && string(id) != string(im.BuildID) {
		return nil, fmt.Errorf("line table: %s has changed since it was loaded", path)
	}
	var rows []LineEntry
	err = guard(path, func() error {
		d, err := f.elf.DWARF()
		if err != nil {
			return err
		}
		rows, err = lineRows(d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("line table: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrNoLines)
	}
	return rows, nil
}

// lineRows reads the line programs of all compilation units.
func lineRows(d *dwarf.Data) ([]LineEntry, error) {
	var rows []LineEntry
	for r := d.Reader(); ; r.SkipChildren() {
		cu, err := r.Next()
		if err != nil {
			return nil, err
		}
		if cu == nil {
			break
		}
		if cu.Tag != dwarf.TagCompileUnit {
			continue
		}
		lr, err := d.LineReader(cu)
		if err != nil {
			return nil, err
		}
		if lr == nil {
			continue
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
			if rows = append(rows, row); len(rows) > maxLines {
				return nil, errors.New("line table is too large")
			}
		}
		if err != io.EOF {
			return nil, err
		}
	}
	sort.SliceStable(rows, func(i, j int) bool {
		if rows[i].Addr != rows[j].Addr {
			return rows[i].Addr < rows[j].Addr
		}
		return rows[i].Line == 0 && rows[j].Line > 0
	})
	return rows, nil
}
