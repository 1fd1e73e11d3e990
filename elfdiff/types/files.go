package types

import "path"

// maxFiles bounds the file table of a unit.
const maxFiles = 1 << 16

// fileName returns the base name of a file of the unit's line table, as DW_AT_decl_file numbers it; "" if it has none.
// Directories are left out: two builds of one source may lie in different ones.
func (u *unit) fileName(i uint32) string {
	if !u.hasLines {
		return ""
	}
	if u.files == nil {
		u.files = u.readFiles()
	}
	if int(i) >= len(u.files) {
		return ""
	}
	return u.files[i]
}

// readFiles reads the file names of a line program's header (DWARF 5, 6.2.4; DWARF 4, 6.2.4). It never returns nil.
func (u *unit) readFiles() []string {
	out := []string{""}
	if u.lines > uint64(len(u.file.Line)) {
		return out
	}
	c := &cursor{section: ".debug_line", s: u.file.Line, off: int(u.lines)}
	length, word := c.fixed(4), 4
	if length == 0xffffffff {
		length, word = c.fixed(8), 8
	}
	if length > uint64(len(c.s)-c.off) {
		return out
	}
	c.s = c.s[:c.off+int(length)]
	version := c.fixed(2)
	if version >= 5 {
		c.fixed(2) // address_size, segment_selector_size
	}
	c.fixed(word) // header_length
	c.u8()        // minimum_instruction_length
	if version >= 4 {
		c.u8() // maximum_operations_per_instruction
	}
	c.fixed(3) // default_is_stmt, line_base, line_range
	opcodes := c.u8()
	c.bytes(max(opcodes, 1) - 1)
	if version >= 5 {
		u.table5(c, word) // directories
		return u.table5(c, word)
	}
	for c.more() && c.str() != "" { // include_directories
	}
	for c.more() && len(out) < maxFiles {
		name := c.str()
		if name == "" || c.err != nil {
			break
		}
		out = append(out, path.Base(name))
		c.uleb()
		c.uleb()
		c.uleb()
	}
	return out
}

// table5 reads a table of directories or files of DWARF 5.
func (u *unit) table5(c *cursor, word int) []string {
	const contentPath = 1 // DW_LNCT_path
	formats := make([]attribute, c.u8())
	for i := range formats {
		formats[i] = attribute{name: uint16(min(c.uleb(), 0xffff)), form: uint16(min(c.uleb(), 0xffff))}
	}
	out := []string{}
	lines := *u // the forms are those of the line table's own header
	lines.word, lines.version = word, 5
	for n := c.uleb(); n > 0 && len(formats) > 0 && c.more() && len(out) < maxFiles; n-- {
		name := ""
		for i := range formats {
			v := lines.value(c, &formats[i])
			if formats[i].name == contentPath {
				name = v.s
			}
		}
		if c.err != nil || u.r.spend(uint64(len(name))+8) != nil {
			break
		}
		out = append(out, path.Base(name))
	}
	return out
}
