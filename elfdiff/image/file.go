package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
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
	path     string
	r        io.ReaderAt
	size     uint64
	budget   uint64 // bytes that may still be read
	inflated uint64 // bytes that may still come out of compressed sections
	elf      *elf.File
	linked   map[*elf.Section][]byte // tables that other sections link to, once they were read
}

// Bounds of what is read of one file; see the package comment.
const (
	readFactor    = 4       // times the file's size
	readSlack     = 1 << 16 // bytes
	inflateFactor = 16      // times the file's size
	inflateSlack  = 1 << 20 // bytes
)

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
func newFile(path string, r io.ReaderAt, size uint64) (*file, error) {
	f := &file{path: path, r: r, size: size, budget: readFactor*size + readSlack, inflated: inflateFactor*size + inflateSlack,
		linked: make(map[*elf.Section][]byte)}
	if err := f.checkHeaders(); err != nil {
		return nil, err
	}
	err := guard(path, "headers", func() (err error) {
		f.elf, err = elf.NewFile(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// guard runs one call into debug/elf or debug/dwarf, which say of themselves that they are not hardened against hostile
// input, and turns their errors and panics into a FormatError about the part of the file that is named.
// Nothing of this package's own runs under the recover but what walks over their results.
func guard(path, part string, fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &FormatError{path, 0, "malformed " + part, fmt.Sprint(r)}
		}
	}()
	if err := fn(); err != nil {
		var format *FormatError
		if errors.As(err, &format) {
			return err
		}
		return &FormatError{path, 0, "malformed " + part, err.Error()}
	}
	return nil
}

// read returns the contents of a section, decompressed if it is compressed; nil for NOBITS.
func (f *file) read(s *elf.Section) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS || s.FileSize == 0 {
		return nil, nil
	}
	if s.Offset > f.size || s.FileSize > f.size-s.Offset {
		return nil, &FormatError{f.path, s.Offset, "section " + s.Name + " reaches beyond the end of the file; size", s.FileSize}
	}
	if s.FileSize > f.budget {
		return nil, &FormatError{f.path, s.Offset,
			"section " + s.Name + " overlaps others: together they are larger than the file; size", s.FileSize}
	}
	f.budget -= s.FileSize
	if s.Flags&elf.SHF_COMPRESSED != 0 {
		return f.inflate(s)
	}
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

// link returns the contents of the section that s links to (sh_link): a string or symbol table. The caller must not change them.
func (f *file) link(s *elf.Section) (*elf.Section, []byte, error) {
	if s.Link == 0 || uint64(s.Link) >= uint64(len(f.elf.Sections)) {
		return nil, nil, &FormatError{f.path, s.Offset, "section " + s.Name + " links to no section", uint64(s.Link)}
	}
	to := f.elf.Sections[s.Link]
	if b, ok := f.linked[to]; ok {
		return to, b, nil
	}
	b, err := f.read(to)
	if err == nil {
		f.linked[to] = b
	}
	return to, b, err
}

// readWithStrings returns the contents of a section of n-byte records, and the string table that it links to.
func (f *file) readWithStrings(s *elf.Section, n int) ([]byte, *stringTable, error) {
	data, err := f.read(s)
	if err != nil {
		return nil, nil, err
	}
	to, strs, err := f.link(s)
	if err != nil {
		return nil, nil, err
	}
	return data, newStringTable(f.path, to, strs, len(data)/n), nil
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
