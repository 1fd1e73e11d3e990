package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"hotpatch/arch"
)

// order is the byte order of every machine that is supported; other files are refused.
var order = binary.LittleEndian

// FormatError says what is wrong with an ELF file, and where.
type FormatError struct {
	Path string
	Off  uint64 // in the file, or the image address where Msg says so
	Msg  string
	Val  any // the offending value; nil: there is none
}

func (e *FormatError) Error() string {
	switch v := e.Val.(type) {
	case nil:
		return fmt.Sprintf("%s: offset %#x: %s", e.Path, e.Off, e.Msg)
	case string:
		return fmt.Sprintf("%s: offset %#x: %s: %q", e.Path, e.Off, e.Msg, v)
	case error, fmt.Stringer:
		return fmt.Sprintf("%s: offset %#x: %s: %v", e.Path, e.Off, e.Msg, v)
	default:
		return fmt.Sprintf("%s: offset %#x: %s: %#x", e.Path, e.Off, e.Msg, v)
	}
}

// file is one ELF file while it is loaded. Section contents are read on demand, each
// bounded by the file's size, and all together by a small multiple of it.
type file struct {
	path   string
	r      io.ReaderAt
	size   uint64
	budget uint64 // bytes that may still be read
	elf    *elf.File
}

// openFile opens an ELF file and reads its headers. The returned function closes it.
func openFile(path string) (*file, func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	e, err := newFile(path, f, uint64(st.Size()))
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return e, f.Close, nil
}

// newFile reads the headers of an ELF file of size bytes.
func newFile(path string, r io.ReaderAt, size uint64) (f *file, err error) {
	f = &file{path: path, r: r, size: size, budget: 4*size + 1<<16}
	// debug/elf says of itself that it is not hardened against hostile input, so a panic in it
	// counts as a malformed file. Nothing of this package runs under the recover.
	err = guard(path, func() (err error) {
		f.elf, err = elf.NewFile(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	h := &f.elf.FileHeader
	if h.Class != elf.ELFCLASS64 || h.Data != elf.ELFDATA2LSB {
		return nil, &FormatError{path, 4, "not a 64-bit little-endian ELF file", fmt.Sprintf("%v %v", h.Class, h.Data)}
	}
	return f, nil
}

// guard runs one call into debug/elf or debug/dwarf and turns its errors and panics into a FormatError.
func guard(path string, fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &FormatError{path, 0, "malformed ELF file", fmt.Sprint(r)}
		}
	}()
	if err := fn(); err != nil {
		return &FormatError{path, 0, "malformed ELF file", err.Error()}
	}
	return nil
}

// read returns the contents of a section as they are in the file; nil for NOBITS.
func (f *file) read(s *elf.Section) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS || s.FileSize == 0 {
		return nil, nil
	}
	if s.Flags&elf.SHF_COMPRESSED != 0 {
		return nil, &FormatError{f.path, s.Offset, "section is compressed", s.Name}
	}
	if s.Offset > f.size || s.FileSize > f.size-s.Offset {
		return nil, &FormatError{f.path, s.Offset, "section " + s.Name + " reaches beyond the end of the file; size", s.FileSize}
	}
	if s.FileSize > f.budget {
		return nil, &FormatError{f.path, s.Offset, "sections overlap: together they are larger than the file", s.Name}
	}
	f.budget -= s.FileSize
	b := make([]byte, s.FileSize)
	if _, err := f.r.ReadAt(b, int64(s.Offset)); err != nil {
		return nil, fmt.Errorf("%s: section %s: %w", f.path, s.Name, err)
	}
	return b, nil
}

// section returns the first section with the name, or nil.
func (f *file) section(name string) *elf.Section {
	for _, s := range f.elf.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// byType returns the first section of the type, or nil.
func (f *file) byType(t elf.SectionType) *elf.Section {
	for _, s := range f.elf.Sections {
		if s.Type == t {
			return s
		}
	}
	return nil
}

// link returns the contents of the section that s links to (sh_link): a string or symbol table.
func (f *file) link(s *elf.Section) (*elf.Section, []byte, error) {
	if s.Link == 0 || int(s.Link) >= len(f.elf.Sections) {
		return nil, nil, &FormatError{f.path, s.Offset, "section " + s.Name + " links to no section", uint64(s.Link)}
	}
	to := f.elf.Sections[s.Link]
	b, err := f.read(to)
	return to, b, err
}

// readWithStrings returns the contents of a section and of the string table that it links to.
func (f *file) readWithStrings(s *elf.Section) (data, strs []byte, err error) {
	if data, err = f.read(s); err != nil {
		return nil, nil, err
	}
	_, strs, err = f.link(s)
	return data, strs, err
}

// buildID returns the GNU build-id of the file, or nil.
func (f *file) buildID() ([]byte, error) {
	for _, s := range f.elf.Sections {
		if s.Type != elf.SHT_NOTE {
			continue
		}
		b, err := f.read(s)
		if err != nil {
			return nil, err
		}
		if id := gnuBuildID(b); id != nil {
			return id, nil
		}
	}
	return nil, nil
}

// gnuBuildID finds the NT_GNU_BUILD_ID note (type 3, owner "GNU") in a note section.
func gnuBuildID(b []byte) []byte {
	for len(b) >= 12 {
		name, desc, typ := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		b = b[12:]
		nameEnd := alignUp(name, 4)
		if nameEnd > uint64(len(b)) || desc > uint64(len(b))-nameEnd {
			return nil
		}
		if typ == 3 && name == 4 && bytes.Equal(b[:4], []byte("GNU\x00")) && desc > 0 && desc <= 64 {
			return b[nameEnd : nameEnd+desc : nameEnd+desc]
		}
		next := alignUp(nameEnd+desc, 4)
		if next > uint64(len(b)) {
			return nil
		}
		b = b[next:]
	}
	return nil
}

// str returns the NUL-terminated string at off of a string table; "" if it has no end.
func str(table []byte, off uint64) string {
	if off >= uint64(len(table)) {
		return ""
	}
	b := table[off:]
	if n := bytes.IndexByte(b, 0); n >= 0 {
		return string(b[:n])
	}
	return ""
}

// alignUp rounds v up to a multiple of align, a power of two.
func alignUp(v, align uint64) uint64 {
	if align < 2 {
		return v
	}
	return (v + align - 1) &^ (align - 1)
}

// segment is a PT_LOAD segment.
type segment struct {
	addr   arch.ImageAddr
	size   uint64 // in memory
	filesz uint64
	flags  elf.ProgFlag
}
