// Package references compares the references that elfdiff/image finds in a linked file with what the linker itself says of them.
//
// The same objects linked with -Wl,--emit-relocs have the same code, and the relocations that the linker kept name the symbol of every
// field. They are read here with debug/elf alone; the file that is looked at has none of them. A static object is named by its
// section only: of such a reference the address is compared, and the symbols of the twin say which object is there. Where the reference was
// taken for one beside an object (the end of an array, a biased base), the linker does not say which is right.
package references

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// Tally counts the references of one program.
type Tally struct {
	References int // relocations of fields in functions and in objects
	Named      int // found, and with the symbol and addend of the relocation
	Static     int // found, where the relocation names only a section, and with the name of what the twin has there
	Beside     int // found at that address, but taken for an address outside of another object
	Address    int // found, where the relocation names only a section and no symbol of the twin is there
	Ambiguous  int // the relocation's symbol is one of the readings
	Unresolved int // no place is told
	Undecoded  int // in functions that are not decoded
	Dead       int // in functions or bytes that no symbol or no path leads to
	Pages      int // addresses of pages (adrp), in which the linker has what their partners were found to name
	Local      int // further ones, within a section, which the assembler has resolved
	Anchored   int // further ones, from the address of another object of the section, which the compiler has resolved
	Wrong      []string
}

// relocation is what the linker kept for one field.
type relocation struct {
	field  arch.ImageAddr
	typ    uint32
	role   role
	sym    string         // "": a section, or a label of the compiler's
	value  arch.ImageAddr // of the symbol, in the file that is looked at
	addend int64
	undef  bool
	code   bool // the field is in code
	noType bool // the symbol is a label without a type
}

// Check compares the references in a file with the relocations of its twin.
func Check(plain, twin string) (*Tally, error) {
	relocs, symbols, err := read(plain, twin)
	if err != nil {
		return nil, err
	}
	im, err := image.Load(plain, image.Options{})
	if err != nil {
		return nil, err
	}
	if im.HasRelocs {
		return nil, fmt.Errorf("%s has relocations: nothing would be shown", plain)
	}
	if err := im.Decode(context.Background(), 0); err != nil {
		return nil, err
	}
	c := &checker{im: im, tally: &Tally{}, relocs: relocs, symbols: symbols}
	for _, a := range im.Atoms {
		switch {
		case a.IsCode() && !a.CRT:
			c.function(a)
		case a.Kind == image.Object && !a.CRT:
			c.object(a)
		}
	}
	return c.tally, nil
}

// read reads the twin's relocations, by field, and its symbols.
func read(plain, twin string) ([]relocation, *symbols, error) {
	f, err := elf.Open(plain)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	q, err := elf.Open(twin)
	if err != nil {
		return nil, nil, err
	}
	defer q.Close()
	if f.Machine != q.Machine {
		return nil, nil, fmt.Errorf("%s is not the twin of %s: it is for %v", twin, plain, q.Machine)
	}
	if a, b := contents(f, ".text"), contents(q, ".text"); len(a) == 0 || len(a) != len(b) || f.Section(".text").Addr != q.Section(".text").Addr {
		return nil, nil, fmt.Errorf("%s is not the twin of %s: .text has another size or address", twin, plain)
	}
	syms, err := q.Symbols()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", twin, err)
	}
	var out []relocation
	for _, s := range q.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC != 0 || int(s.Info) >= len(q.Sections) {
			continue
		}
		to := q.Sections[s.Info]
		if to.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		b, err := s.Data()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %s: %w", twin, s.Name, err)
		}
		const size = 24 // bytes of an Elf64_Rela
		for ; len(b) >= size; b = b[size:] {
			info := binary.LittleEndian.Uint64(b[8:])
			r := relocation{field: arch.ImageAddr(binary.LittleEndian.Uint64(b)), typ: uint32(info), role: roleOf(q.Machine, uint32(info)),
				addend: int64(binary.LittleEndian.Uint64(b[16:])), code: to.Flags&elf.SHF_EXECINSTR != 0}
			if n := info >> 32; n > 0 && n <= uint64(len(syms)) {
				r.name(&syms[n-1])
				r.value += shift(f, q, syms[n-1].Section)
			}
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, nil, fmt.Errorf("%s has no relocations: it is not linked with -Wl,--emit-relocs", twin)
	}
	slices.SortFunc(out, func(a, b relocation) int { return int(int64(a.field - b.field)) })
	return out, newSymbols(f, q, syms), nil
}

func (r *relocation) name(s *elf.Symbol) {
	r.value, r.undef = arch.ImageAddr(s.Value), s.Section == elf.SHN_UNDEF
	typ := elf.ST_TYPE(s.Info)
	r.noType = typ == elf.STT_NOTYPE
	if typ != elf.STT_SECTION && !isLabel(s.Name) {
		r.sym, _, _ = strings.Cut(s.Name, "@")
	}
}

// shift is how far a section of the twin is from its place in the file that is looked at: ld may align what follows the start files' data otherwise.
func shift(f, q *elf.File, section elf.SectionIndex) arch.ImageAddr {
	if section == elf.SHN_UNDEF || int(section) >= len(q.Sections) {
		return 0
	}
	t := q.Sections[section]
	if s := f.Section(t.Name); s != nil && t.Flags&elf.SHF_ALLOC != 0 {
		return arch.ImageAddr(s.Addr - t.Addr)
	}
	return 0
}

func contents(f *elf.File, name string) []byte {
	s := f.Section(name)
	if s == nil {
		return nil
	}
	b, err := s.Data()
	if err != nil {
		return nil
	}
	return bytes.Clone(b)
}

// in returns the relocations of fields in [start, end).
func (c *checker) in(start, end arch.ImageAddr) []relocation {
	find := func(v arch.ImageAddr) int {
		i, _ := slices.BinarySearchFunc(c.relocs, v, func(r relocation, v arch.ImageAddr) int {
			switch {
			case r.field < v:
				return -1
			case r.field > v:
				return 1
			}
			return 0
		})
		return i
	}
	return c.relocs[find(start):find(end)]
}
