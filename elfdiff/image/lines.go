package image

import (
	"cmp"
	"debug/dwarf"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"hotpatch/arch"
)

// lineTable is the DWARF line table of the image. It is read when it is first asked for, one compilation unit at a time.
type lineTable struct {
	mu    sync.Mutex
	spent time.Duration // reading what DWARF says of functions
	dwarf *DWARF
	units []lineRange // by start
	err   error       // of opening it

	sources map[string]bool // main source files of the units, see sourceName; nil: not listed yet
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
	rows []lineRow // by address
	// files are the names that the rows mean.
	files []string
	err   error

	source string // the unit's main source file, see sourceName

	functions *inlineWalk // nil: not asked for yet
	walkErr   error
}

// lineRow is a row of a line table as it is kept.
type lineRow struct {
	addr arch.ImageAddr
	line int32 // 0: the row ends a sequence
	file int32 // index in lineUnit.files
}

// maxUnitsEach bounds the units that describe one function; LTO makes a few of one.
const maxUnitsEach = 64

// ErrNoLines is returned where the files hold no line table.
var ErrNoLines = errors.New("no DWARF line table")

// Lines returns the rows of the DWARF line table for a function: each says from which address on code belongs to
// which line. The table is read from the file, or its debug file, as far as it is needed.
func (im *Image) Lines(a *Atom) ([]LineEntry, error) {
	t := &im.lines
	defer t.use()()
	units, err := im.dwarfUnits(a)
	if err != nil {
		return nil, err
	}
	var out []LineEntry
	for _, u := range units {
		if err := t.readRows(u); err != nil {
			return nil, err
		}
		out = u.within(out, a)
	}
	return out, nil
}

// use locks the table; the function that it returns unlocks it, and counts the time.
func (t *lineTable) use() (done func()) {
	t.mu.Lock()
	start := time.Now()
	return func() {
		t.spent += time.Since(start)
		t.mu.Unlock()
	}
}

// DebugTime returns the time that was spent so far on reading what DWARF data says of functions and their lines.
func (im *Image) DebugTime() time.Duration {
	im.lines.mu.Lock()
	defer im.lines.mu.Unlock()
	return im.lines.spent
}

// dwarfUnits returns the compilation units that describe the atom, by address; it opens the DWARF data when it is first
// needed. The lock of im.lines is held.
func (im *Image) dwarfUnits(a *Atom) ([]*lineUnit, error) {
	t := &im.lines
	if t.dwarf == nil && t.err == nil {
		t.err = t.open(im.DWARF())
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
		if len(units) > maxUnitsEach {
			return nil, &FormatError{t.dwarf.Path, 0, "section .debug_info: too many units describe " + a.Name + " at address", uint64(a.Addr)}
		}
	}
	return units, nil
}

// within appends the rows that say something of a's range.
func (u *lineUnit) within(out []LineEntry, a *Atom) []LineEntry {
	rows := u.rows
	start := sort.Search(len(rows), func(i int) bool { return rows[i].addr >= a.Addr })
	end := start + sort.Search(len(rows)-start, func(i int) bool { return rows[start+i].addr >= a.End() })
	// The row in front may reach into the function.
	if start > 0 && (start == len(rows) || rows[start].addr > a.Addr) && rows[start-1].line > 0 {
		start--
	}
	out = slices.Grow(out, end-start)
	for _, r := range rows[start:end] {
		if r.line > 0 {
			out = append(out, LineEntry{Addr: r.addr, File: u.files[r.file], Line: int(r.line)})
		}
	}
	return out
}

// open lists the units of the debug information by address.
func (t *lineTable) open(d *DWARF, err error) error {
	if errors.Is(err, ErrNoDWARF) {
		return fmt.Errorf("%w: %w", ErrNoLines, err)
	}
	if err == nil {
		t.dwarf, err = d, t.list(d)
	}
	switch {
	case err != nil:
		return fmt.Errorf("line table: %w", err)
	case len(t.units) == 0 && d.Split:
		return fmt.Errorf("%s: %w: split DWARF, whose .dwo files are not read", d.Path, ErrNoLines)
	case len(t.units) == 0:
		return fmt.Errorf("%s: %w", d.Path, ErrNoLines)
	}
	return nil
}

// list finds the address ranges of all compilation units. It looks at the first entry of each unit only.
func (t *lineTable) list(d *DWARF) error {
	var c *Cursor
	for _, off := range d.Units() {
		if c == nil {
			c = d.Cursor(off)
		} else {
			c.Seek(off)
		}
		cu, err := c.Next()
		if err != nil {
			return err
		}
		if cu == nil || cu.Tag != dwarf.TagCompileUnit && cu.Tag != dwarf.TagSkeletonUnit || cu.Val(dwarf.AttrStmtList) == nil {
			continue
		}
		ranges, err := c.Ranges(cu)
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

// readRows reads the line program of a unit, once.
func (t *lineTable) readRows(u *lineUnit) error {
	if u.read {
		return u.err
	}
	u.read = true
	if u.rows, u.files, u.err = t.dwarf.lineRows(u.cu); u.err != nil {
		u.rows, u.err = nil, fmt.Errorf("line table: %w", u.err)
		return u.err
	}
	order := func(x, y lineRow) int {
		if x.addr != y.addr || (x.line == 0) == (y.line == 0) {
			return cmp.Compare(x.addr, y.addr)
		}
		return cmp.Compare(min(x.line, 1), min(y.line, 1)) // the end of a sequence comes before the start of the next
	}
	if !slices.IsSortedFunc(u.rows, order) {
		slices.SortStableFunc(u.rows, order)
	}
	return nil
}
