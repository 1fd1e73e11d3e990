package image

import (
	"bytes"
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"hotpatch/arch"
)

// lineRows runs the line program of a unit, and returns its rows with the names of files that they mean. All calls together give no more
// rows than the section has bytes, because each takes one.
func (d *DWARF) lineRows(cu *dwarf.Entry) (rows []lineRow, files []string, err error) {
	if off, ok := cu.Val(dwarf.AttrStmtList).(int64); ok {
		compDir, _ := cu.Val(dwarf.AttrCompDir).(string)
		if err := d.checkLineHeader(uint64(off), len(compDir)); err != nil {
			return nil, nil, err
		}
	}
	d.rowBuffer = d.rowBuffer[:0]
	err = d.guard("section .debug_line", func() error {
		lr, err := d.data.LineReader(cu)
		if err != nil || lr == nil {
			return err
		}
		numbers := map[*dwarf.LineFile]int32{nil: 0} // index in files
		files = []string{""}
		number := int32(0) // of the file of the row in front
		var last *dwarf.LineFile
		var e dwarf.LineEntry
		for err = lr.Next(&e); err == nil; err = lr.Next(&e) {
			if e.File != last {
				known := false
				if number, known = numbers[e.File]; !known {
					number = int32(len(files))
					numbers[e.File], files = number, append(files, e.File.Name)
				}
				last = e.File
			}
			row := lineRow{addr: arch.ImageAddr(e.Address), file: number}
			if !e.EndSequence {
				row.line = int32(min(max(e.Line, 0), math.MaxInt32))
			}
			if d.rows--; d.rows < 0 {
				return errors.New("units share line programs: together they give more rows than the section has bytes")
			}
			d.rowBuffer = append(d.rowBuffer, row)
		}
		if err != io.EOF {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return slices.Clone(d.rowBuffer), files, nil
}

// checkLineHeader checks the tables of directories and files in the line program's header at an offset (DWARF 5, 6.2.4), for which
// debug/dwarf allocates as much as they claim to need. Those of older versions have no counts. compDir is the length of the
// unit's directory.
func (d *DWARF) checkLineHeader(off uint64, compDir int) error {
	if off >= uint64(len(d.line)) {
		return &FormatError{d.Path, 0, "section .debug_line: no line program at offset", off}
	}
	c := bytesCursor{b: d.line[off:]}
	word := uint64(4)
	if length := c.number(4); length == 0xffffffff {
		c.take(8)
		word = 8
	}
	version := c.number(2)
	parameters := uint64(5) // bytes
	switch {
	case version >= 5:
		c.take(2) // sizes of addresses and segments
	case version < 4:
		parameters = 4 // no maximum_operations_per_instruction
	}
	c.take(word + parameters) // header_length is the first
	if n := c.number(1); n > 0 {
		c.take(n - 1) // standard_opcode_lengths
	}
	if version < 5 {
		return d.checkLineNames(off, &c, compDir)
	}
	longest := compDir // directory
	for _, table := range [...]string{"directories", "files"} {
		forms := make([]uint64, c.number(1))
		for i := range forms {
			c.uleb() // DW_LNCT_*
			forms[i] = c.uleb()
		}
		n := c.uleb()
		if n > uint64(len(c.b)) || n > 0 && len(forms) == 0 {
			return &FormatError{d.Path, 0, fmt.Sprintf("section .debug_line: offset %#x: number of %s", off, table), n}
		}
		here := 0
		for range n {
			length, err := d.lineNames(&c, forms, word)
			if err != nil {
				return &FormatError{d.Path, 0, fmt.Sprintf("section .debug_line: offset %#x: table of %s", off, table), err}
			}
			here = max(here, length)
			if d.names -= length + longest; d.names < 0 || length > maxPath {
				return d.badNames(off)
			}
		}
		longest = here
	}
	if c.bad {
		return &FormatError{d.Path, 0, "section .debug_line: header of a line program is cut off; offset", off}
	}
	return nil
}

// maxPath bounds the name of a directory or file in bytes: PATH_MAX of Linux.
const maxPath = 4096

func (d *DWARF) badNames(off uint64) error {
	return &FormatError{d.Path, 0,
		"section .debug_line: a name is longer than any path, or all are longer than the debug information; offset of the line program", off}
}

// checkLineNames charges the names of a header of version 2 to 4, where each file name may stand for a long directory, and
// each directory begins with the unit's.
func (d *DWARF) checkLineNames(off uint64, c *bytesCursor, compDir int) error {
	longest := compDir
	for n := c.text(); n > 0 && !c.bad; n = c.text() {
		if d.names -= n + compDir; d.names < 0 || n+compDir > maxPath {
			return d.badNames(off)
		}
		longest = max(longest, n+compDir)
	}
	for n := c.text(); n > 0 && !c.bad; n = c.text() {
		for range 3 {
			c.uleb() // directory, time, length
		}
		if d.names -= n + longest; d.names < 0 || n > maxPath {
			return d.badNames(off)
		}
	}
	return nil
}

// Forms that line program headers use (DWARF 5, 7.5.6).
const (
	formBlock   = 0x09
	formData1   = 0x0b
	formData2   = 0x05
	formData4   = 0x06
	formData8   = 0x07
	formData16  = 0x1e
	formString  = 0x08
	formStrp    = 0x0e
	formUdata   = 0x0f
	formLineStr = 0x1f
	formStrpSup = 0x1d
)

// lineNames passes over one entry of a table of directories or files and returns how long its texts are.
func (d *DWARF) lineNames(c *bytesCursor, forms []uint64, word uint64) (int, error) {
	n := 0
	for _, form := range forms {
		switch form {
		case formBlock:
			c.take(c.uleb())
		case formData1:
			c.take(1)
		case formData2:
			c.take(2)
		case formData4:
			c.take(4)
		case formData8:
			c.take(8)
		case formData16:
			c.take(16)
		case formString:
			n += c.text()
		case formStrp, formLineStr:
			texts := d.str
			if form == formLineStr {
				texts = d.lineStr
			}
			off := c.number(word)
			if off >= uint64(len(texts)) {
				return 0, fmt.Errorf("no text at offset %#x", off)
			}
			text := texts[off:min(uint64(len(texts)), off+maxPath+1)]
			if k := bytes.IndexByte(text, 0); k >= 0 {
				text = text[:k]
			}
			n += len(text)
		case formStrpSup:
			c.take(word)
		case formUdata:
			c.uleb()
		default:
			return 0, fmt.Errorf("form %#x", form)
		}
	}
	if c.bad {
		return 0, errors.New("cut off")
	}
	return n, nil
}
