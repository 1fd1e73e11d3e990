package image

import (
	"bytes"
	"debug/elf"
	"fmt"
)

// Sizes in bytes of the records of 64-bit ELF files (gABI, "ELF Header", "Section Header", "Program Header").
const (
	elfHeaderSize     = 64
	sectionHeaderSize = 64
	progHeaderSize    = 56
	chdrSize          = 24 // Elf64_Chdr, in front of a compressed section's data
)

// manyPrograms is PN_XNUM: the number of program headers stands elsewhere.
const manyPrograms = 0xffff

// checkHeaders holds what debug/elf does not check, or only after it has allocated: that the tables lie in the file, that section names are
// stored plainly, and that reading them takes time linear in the file's size.
func (f *file) checkHeaders() error {
	var h [elfHeaderSize]byte
	if n, err := f.r.ReadAt(h[:], 0); n < len(h) {
		return &FormatError{f.path, uint64(n), "not an ELF file: shorter than an ELF header", err}
	}
	if string(h[:4]) != elf.ELFMAG {
		return &FormatError{f.path, 0, "not an ELF file: magic number", string(h[:4])}
	}
	if class, data := elf.Class(h[elf.EI_CLASS]), elf.Data(h[elf.EI_DATA]); class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB {
		return &FormatError{f.path, 4, "not a 64-bit little-endian ELF file", fmt.Sprintf("%v %v", class, data)}
	}
	phoff, phentsize, phnum := order.Uint64(h[32:]), uint64(order.Uint16(h[54:])), uint64(order.Uint16(h[56:]))
	switch {
	case phnum == 0:
	case phnum == manyPrograms:
		return &FormatError{f.path, 56, "number of program headers (e_phnum)", phnum}
	case phentsize != progHeaderSize:
		return &FormatError{f.path, 54, "size of a program header (e_phentsize)", phentsize}
	case !f.holds(phoff, phnum*progHeaderSize):
		return &FormatError{f.path, 32, "program headers reach beyond the end of the file; e_phoff", phoff}
	}
	return f.checkSectionHeaders(h[:])
}

// holds reports whether the file has n bytes at off.
func (f *file) holds(off, n uint64) bool { return off <= f.size && n <= f.size-off }

func (f *file) checkSectionHeaders(h []byte) error {
	shoff, shentsize := order.Uint64(h[40:]), uint64(order.Uint16(h[58:]))
	shnum, shstrndx := uint64(order.Uint16(h[60:])), uint64(order.Uint16(h[62:]))
	if shoff == 0 {
		return nil // none; who needs sections says so
	}
	if shentsize != sectionHeaderSize {
		return &FormatError{f.path, 58, "size of a section header (e_shentsize)", shentsize}
	}
	if !f.holds(shoff, sectionHeaderSize) {
		return &FormatError{f.path, 40, "section headers reach beyond the end of the file; e_shoff", shoff}
	}
	var first [sectionHeaderSize]byte
	if _, err := f.r.ReadAt(first[:], int64(shoff)); err != nil {
		return fmt.Errorf("%s: section headers: %w", f.path, err)
	}
	if shnum == 0 {
		shnum = order.Uint64(first[32:]) // sh_size
	}
	if shstrndx == uint64(elf.SHN_XINDEX) {
		shstrndx = uint64(order.Uint32(first[40:])) // sh_link
	}
	if shnum > f.size/sectionHeaderSize || !f.holds(shoff, shnum*sectionHeaderSize) {
		return &FormatError{f.path, 60, "section headers reach beyond the end of the file; their number", shnum}
	}
	table := make([]byte, shnum*sectionHeaderSize)
	if _, err := f.r.ReadAt(table, int64(shoff)); err != nil {
		return fmt.Errorf("%s: section headers: %w", f.path, err)
	}
	if shstrndx >= shnum {
		if shnum == 0 {
			return nil
		}
		return &FormatError{f.path, 62, "no section of that number holds the section names (e_shstrndx)", shstrndx}
	}
	for i := uint64(0); i < shnum; i++ {
		b := table[i*sectionHeaderSize:]
		off, size := order.Uint64(b[24:]), order.Uint64(b[32:])
		if elf.SectionFlag(order.Uint64(b[8:]))&elf.SHF_COMPRESSED != 0 && (size < chdrSize || !f.holds(off, size)) {
			return &FormatError{f.path, shoff + i*sectionHeaderSize,
				fmt.Sprintf("section number %d is compressed but lies not in the file; size", i), size}
		}
	}
	return f.checkSectionNames(shoff, table, shstrndx)
}

// checkSectionNames checks the section headers' names, which are in section shstrndx.
func (f *file) checkSectionNames(shoff uint64, table []byte, shstrndx uint64) error {
	at := shoff + shstrndx*sectionHeaderSize
	b := table[shstrndx*sectionHeaderSize:]
	if shstrndx == 0 {
		return nil // no names
	}
	off, size := order.Uint64(b[24:]), order.Uint64(b[32:])
	switch {
	case elf.SectionType(order.Uint32(b[4:])) != elf.SHT_STRTAB:
		return &FormatError{f.path, at + 4, "the section of section names is not a string table (sh_type)", elf.SectionType(order.Uint32(b[4:]))}
	case elf.SectionFlag(order.Uint64(b[8:]))&elf.SHF_COMPRESSED != 0:
		return &FormatError{f.path, at + 8, "the section of section names is compressed (sh_flags)", order.Uint64(b[8:])}
	case !f.holds(off, size):
		return &FormatError{f.path, at + 24, "the section of section names reaches beyond the end of the file; size", size}
	}
	names := make([]byte, size)
	if _, err := f.r.ReadAt(names, int64(off)); err != nil && size > 0 {
		return fmt.Errorf("%s: section names: %w", f.path, err)
	}
	n := len(table) / sectionHeaderSize
	left := stringFactor*len(names) + stringPerRecord*n
	for i := range n {
		name := uint64(order.Uint32(table[i*sectionHeaderSize:]))
		if name >= size {
			return &FormatError{f.path, shoff + uint64(i)*sectionHeaderSize, fmt.Sprintf("name of section number %d (sh_name)", i), name}
		}
		length := bytes.IndexByte(names[name:], 0)
		if left -= max(length, 0); length < 0 || left < 0 {
			return &FormatError{f.path, shoff + uint64(i)*sectionHeaderSize,
				fmt.Sprintf("the name of section number %d does not end, or all names together are too long (sh_name)", i), name}
		}
	}
	return nil
}
