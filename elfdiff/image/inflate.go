package image

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// inflate decompresses a section with SHF_COMPRESSED (gABI, "Section Compression": zlib, zstd). The size that its header claims is
// believed only as far as the file's bound for decompressed data goes, and has to be the true one.
func (f *file) inflate(s *elf.Section) ([]byte, error) {
	if s.Flags&elf.SHF_ALLOC != 0 {
		return nil, &FormatError{f.path, s.Offset, "section is loaded and compressed, which cannot be", s.Name}
	}
	if err := f.mayInflate(s, s.Size); err != nil {
		return nil, err
	}
	var b []byte
	err := guard(f.path, "section "+s.Name, func() (err error) {
		b, err = readExactly(s.Open(), s.Size)
		return err
	})
	if err != nil {
		return nil, atSection(err, s)
	}
	return b, nil
}

// mayInflate takes n bytes off what may still be decompressed.
func (f *file) mayInflate(s *elf.Section, n uint64) error {
	if n > f.inflated {
		return &FormatError{f.path, s.Offset,
			fmt.Sprintf("section %s: decompressed it would be larger than %d times the file; size", s.Name, inflateFactor), n}
	}
	f.inflated -= n
	return nil
}

// atSection gives a FormatError the offset of a section.
func atSection(err error, s *elf.Section) error {
	var format *FormatError
	if errors.As(err, &format) {
		format.Off = s.Offset
	}
	return err
}

// readExactly reads n bytes, behind which the data must end.
func readExactly(r io.Reader, n uint64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("it decompresses to less than the %d bytes that its header says: %w", n, err)
	}
	var more [1]byte
	switch k, err := r.Read(more[:]); {
	case k > 0:
		return nil, fmt.Errorf("it decompresses to more than the %d bytes that its header says", n)
	case err != nil && err != io.EOF:
		return nil, err
	}
	return b, nil
}

// Debug information in the form that came before SHF_COMPRESSED: the section is called .zdebug_NAME, and begins with "ZLIB" and the
// size as a big-endian number (GNU binutils, --compress-debug-sections=zlib-gnu).
const (
	zdebugPrefix = ".zdebug_"
	zdebugHeader = 12 // bytes
)

// debugSection returns the contents of the DWARF section .debug_NAME, however it is stored; nil if there is none.
func (f *file) debugSection(name string) ([]byte, error) {
	if s := f.section(".debug_" + name); s != nil {
		return f.read(s)
	}
	s := f.section(zdebugPrefix + name)
	if s == nil {
		return nil, nil
	}
	b, err := f.read(s)
	if err != nil || s.Flags&elf.SHF_COMPRESSED != 0 {
		return b, err
	}
	if len(b) < zdebugHeader || !strings.HasPrefix(string(b[:4]), "ZLIB") {
		return nil, &FormatError{f.path, s.Offset,
			"section " + s.Name + " does not begin with its size; bytes", string(b[:min(len(b), zdebugHeader)])}
	}
	n := binary.BigEndian.Uint64(b[4:])
	if err := f.mayInflate(s, n); err != nil {
		return nil, err
	}
	z, err := zlib.NewReader(bytes.NewReader(b[zdebugHeader:]))
	if err == nil {
		b, err = readExactly(z, n)
	}
	if err != nil {
		return nil, &FormatError{f.path, s.Offset, "malformed section " + s.Name, err}
	}
	return b, nil
}

// hasDebugSection reports whether the file has contents for .debug_NAME.
func (f *file) hasDebugSection(name string) bool {
	for _, s := range f.elf.Sections {
		if (s.Name == ".debug_"+name || s.Name == zdebugPrefix+name) && s.Type != elf.SHT_NOBITS && s.FileSize > 0 {
			return true
		}
	}
	return false
}
