package image

import (
	"bytes"
	"debug/dwarf"
	"errors"
	"fmt"
)

// DWARF is the debug information of one file. This is the only way to it: debug/dwarf is not hardened against hostile input, so
// what could make it allocate or work without bound is checked before it sees it, and its panics become errors. Its methods must
// not be called concurrently; [Image.Lines] and [Image.Inlines] take care of that by themselves.
type DWARF struct {
	Path string // of the file that it is from
	// Split is set if the file leaves debug information to .dwo files (DWARF 5, 7.3.2), which are not read: entries below its skeleton units
	// are missing.
	Split bool

	data         *dwarf.Data
	sections     map[string][]byte // by name, without ".debug_"
	info         []byte            // .debug_info
	line         []byte            // .debug_line
	str, lineStr []byte            // .debug_str, .debug_line_str
	units        [][2]dwarf.Offset // of each unit: the first entry and the end; by start
	sizes        uint64            // bytes of all sections

	altLink *altLink // nil: it needs no alternate file
	findAlt func(*altLink) (*DWARF, error)
	alt     *DWARF
	altErr  error

	rows, names int       // of line tables: how many rows, and how many bytes of file names, may still be read
	rowBuffer   []lineRow // used again for each line program
}

// ErrNoDWARF is returned where the files hold no debug information.
var ErrNoDWARF = errors.New("no debug information (.debug_info)")

// dwarfSections are the names of the sections that are read, without ".debug_".
var dwarfSections = [...]string{"abbrev", "info", "line", "str", "ranges", "addr", "line_str", "str_offsets", "rnglists"}

// newDWARF reads the debug information of a file. find opens the alternate file when it is first needed.
func newDWARF(f *file, find func(*altLink) (*DWARF, error)) (*DWARF, error) {
	if !f.hasDebugSection("info") {
		return nil, fmt.Errorf("%s: %w", f.path, ErrNoDWARF)
	}
	sections := make(map[string][]byte)
	d := &DWARF{Path: f.path, findAlt: find, sections: sections}
	for _, name := range append(dwarfSections[:], "types") {
		b, err := f.debugSection(name)
		if err != nil {
			return nil, err
		}
		sections[name] = b
		d.sizes += uint64(len(b))
	}
	d.info, d.line = sections["info"], sections["line"]
	d.str, d.lineStr = sections["str"], sections["line_str"]
	d.rows, d.names = len(d.line)+1, stringFactor*int(d.sizes)+readSlack
	if err := d.checkUnits(sections["abbrev"]); err != nil {
		return nil, err
	}
	err := guard(f.path, "debug information", func() (err error) {
		d.data, err = dwarf.New(sections["abbrev"], nil, nil, d.info, d.line, nil, sections["ranges"], sections["str"])
		for _, name := range dwarfSections {
			if b := sections[name]; err == nil && b != nil {
				err = d.data.AddSection(".debug_"+name, b)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	d.altLink, err = f.altLink()
	return d, err
}

// DWARF opens the debug information of the image: the file's own, or that of its separate debug file. It is [ErrNoDWARF] if there is
// none. Each call reads the file anew.
func (im *Image) DWARF() (*DWARF, error) {
	path := im.DebugPath
	if path == "" {
		path = im.Path
	}
	d, err := im.dwarfOf(path)
	if !errors.Is(err, ErrNoDWARF) {
		return d, err
	}
	if path != im.Path {
		if d, err := im.dwarfOf(im.Path); !errors.Is(err, ErrNoDWARF) {
			return d, err
		}
	}
	if more := im.findDWARF(); more != "" {
		return im.dwarfOf(more)
	}
	return nil, err
}

// DebugSections is DWARF for who only wants its sections: what the image holds already is not read again.
func (im *Image) DebugSections() (*DWARF, error) {
	im.lines.mu.Lock()
	d := im.lines.dwarf
	im.lines.mu.Unlock()
	if d != nil {
		return d, nil
	}
	return im.DWARF()
}

// dwarfOf reads the debug information of a file of the image's build.
func (im *Image) dwarfOf(path string) (*DWARF, error) {
	f, closeFile, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	if id, err := f.buildID(); err != nil || im.HasBuildID && id != nil && !bytes.Equal(id, im.BuildID) {
		return nil, fmt.Errorf("%s has changed since it was loaded", path)
	}
	return newDWARF(f, func(l *altLink) (*DWARF, error) { return l.open(path, im.options) })
}

// Section returns the contents of .debug_NAME, uncompressed; "" if the file does not have it. Unlike the other methods it may be called
// concurrently.
func (d *DWARF) Section(name string) string { return asString(d.sections[name]) }

// HasAlt reports whether the file names an alternate file.
func (d *DWARF) HasAlt() bool { return d.altLink != nil }

// guard runs a call into debug/dwarf.
func (d *DWARF) guard(part string, fn func() error) error { return guard(d.Path, part, fn) }

// Alt returns the alternate file that dwz moved common entries to, or an error that says which file is missing.
func (d *DWARF) Alt() (*DWARF, error) {
	if d.alt == nil && d.altErr == nil {
		if d.altLink == nil {
			d.altErr = fmt.Errorf("%s: refers to an alternate debug file, but names none (.gnu_debugaltlink, .debug_sup)", d.Path)
		} else {
			d.alt, d.altErr = d.findAlt(d.altLink)
		}
	}
	return d.alt, d.altErr
}

// Units returns the offsets of the first entries of all units in .debug_info, by offset.
func (d *DWARF) Units() []dwarf.Offset { return unitEntries(d.info) }

// Entry reads the entry at an offset.
func (d *DWARF) Entry(off dwarf.Offset) (*dwarf.Entry, error) {
	e, err := d.Cursor(off).Next()
	if err == nil && e == nil {
		err = d.badEntry(off)
	}
	return e, err
}

func (d *DWARF) badEntry(off dwarf.Offset) error {
	return &FormatError{d.Path, 0, "section .debug_info: no entry at offset", uint64(off)}
}

// Follow returns the entry that a reference leads to, which may be in the alternate file; nil if the entry has no such attribute.
func (d *DWARF) Follow(e *dwarf.Entry, attr dwarf.Attr) (*DWARF, *dwarf.Entry, error) {
	f := e.AttrField(attr)
	if f == nil {
		return nil, nil, nil
	}
	in, off := d, dwarf.Offset(0)
	switch v := f.Val.(type) {
	case dwarf.Offset:
		off = v
	case int64: // DW_FORM_GNU_ref_alt
		off = dwarf.Offset(v)
	case uint32: // DW_FORM_ref_sup4
		off = dwarf.Offset(v)
	case uint64:
		if f.Class == dwarf.ClassReferenceSig {
			return nil, nil, fmt.Errorf("%s: .debug_info offset %#x: a type unit's entry (signature %#x) is not looked up",
				d.Path, uint64(e.Offset), v)
		}
		off = dwarf.Offset(v) // DW_FORM_ref_sup8
	default:
		return nil, nil, d.badEntry(e.Offset)
	}
	if _, own := f.Val.(dwarf.Offset); !own {
		alt, err := d.Alt()
		if err != nil {
			return nil, nil, err
		}
		in = alt
	}
	next, err := in.Entry(off)
	return in, next, err
}

// String returns an attribute's text, which may be in the alternate file; "" if the entry has no such attribute.
func (d *DWARF) String(e *dwarf.Entry, attr dwarf.Attr) (string, error) {
	f := e.AttrField(attr)
	if f == nil {
		return "", nil
	}
	var off uint64
	switch v := f.Val.(type) {
	case string:
		return v, nil
	case int64: // DW_FORM_GNU_strp_alt
		off = uint64(v)
	case uint32: // DW_FORM_strp_sup
		off = uint64(v)
	case uint64:
		off = v
	default:
		return "", nil
	}
	alt, err := d.Alt()
	if err != nil {
		return "", err
	}
	return alt.stringAt(off)
}

// Cursor reads entries one after the other, from an offset to the end of its unit.
type Cursor struct {
	d    *DWARF
	r    *dwarf.Reader
	end  dwarf.Offset // of the unit
	left dwarf.Offset // entries that the unit can still have: each takes a byte. debug/dwarf reads endless ones where a number is cut off.
	last *dwarf.Entry
	work uint64 // what may still be read, in bytes of fields and texts
	err  error
}

// Bounds of one walk: entries may share texts and have attributes that take no bytes.
const (
	workFactor = 64 // times the size of the debug information; C and C++ need 10 to 16
	fieldSize  = 48 // bytes of a dwarf.Field in memory
)

// Cursor starts reading at an offset, such as one of [DWARF.Units].
func (d *DWARF) Cursor(off dwarf.Offset) *Cursor {
	c := &Cursor{d: d, r: d.data.Reader(), work: workFactor*d.sizes + readSlack}
	c.Seek(off)
	return c
}

// Seek goes on at another offset. The bound of what the cursor reads stays that of one walk over the whole file.
func (c *Cursor) Seek(off dwarf.Offset) {
	if c.end = c.d.unitEnd(off); c.end == 0 && c.err == nil {
		c.err = c.d.badEntry(off)
	}
	if c.err == nil {
		c.left = c.end - off
		c.err = c.d.guard("section .debug_info", func() error { c.r.Seek(off); return nil })
	}
}

// Ranges returns the addresses that an entry covers.
func (c *Cursor) Ranges(e *dwarf.Entry) ([][2]uint64, error) {
	if c.err != nil {
		return nil, c.err
	}
	var out [][2]uint64
	err := c.d.guard("ranges of an entry in .debug_info", func() (err error) {
		out, err = c.d.data.Ranges(e)
		return err
	})
	if err != nil {
		return nil, err
	}
	const size = 16 // bytes of a range
	return out, c.spend(e, size*uint64(len(out)))
}

// spend takes the work for an entry off what is left.
func (c *Cursor) spend(e *dwarf.Entry, work uint64) error {
	if work > c.work {
		c.err = &FormatError{c.d.Path, 0,
			"section .debug_info: entries share texts, attributes or ranges beyond all measure; offset", uint64(e.Offset)}
		return c.err
	}
	c.work -= work
	return nil
}

// Next returns the next entry; one with Tag 0 ends a list of children. It is nil at the end of the unit.
func (c *Cursor) Next() (*dwarf.Entry, error) {
	if c.err != nil {
		return nil, c.err
	}
	c.last = nil
	if c.left == 0 {
		return nil, nil
	}
	c.left--
	c.err = c.d.guard("section .debug_info", func() (err error) {
		c.last, err = c.r.Next()
		return err
	})
	if c.err != nil || c.last == nil {
		return nil, c.err
	}
	e := c.last
	if e.Offset >= c.end { // the next unit's; entries of tag 0 have no offset
		return nil, nil
	}
	work := uint64(len(e.Field)+1) * fieldSize
	for i := range e.Field {
		if s, ok := e.Field[i].Val.(string); ok {
			work += uint64(len(s))
		}
	}
	if err := c.spend(e, work); err != nil {
		return nil, err
	}
	return e, nil
}

// Skip passes over the children of the entry that Next returned last. Unlike [dwarf.Reader.SkipChildren] it neither recurses nor goes back.
func (c *Cursor) Skip() error {
	e := c.last
	if c.err != nil || e == nil || !e.Children {
		return c.err
	}
	if next, ok := e.Val(dwarf.AttrSibling).(dwarf.Offset); ok && next > e.Offset && next < c.end {
		c.err = c.d.guard("section .debug_info", func() error { c.r.Seek(next); return nil })
		return c.err
	}
	for depth := 1; depth > 0; {
		e, err := c.Next()
		switch {
		case err != nil || e == nil:
			return err
		case e.Tag == 0:
			depth--
		case e.Children:
			depth++
		}
	}
	return nil
}

// stringAt returns the text at an offset of .debug_str. It is as long as any name may be.
func (d *DWARF) stringAt(off uint64) (string, error) {
	if off < uint64(len(d.str)) {
		text := d.str[off:]
		if n := bytes.IndexByte(text[:min(len(text), maxName)], 0); n >= 0 {
			return string(text[:n]), nil
		}
	}
	return "", &FormatError{d.Path, 0, "section .debug_str: no text at offset", off}
}

// maxName bounds a text of an alternate file in bytes. Those of C++ templates have some thousands.
const maxName = 1 << 20
