package patch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// inSection is a section header of a file being read, with its name and bytes.
type inSection struct {
	elf.Section64
	name  string
	hdrAt int64  // offset of the header in the file
	data  []byte // nil for SHT_NOBITS; part of the file
}

// elfReader is the outer structure of a file being read. debug/elf's structs are used,
// but not its reader: that one is not meant for hostile files.
type elfReader struct {
	raw     []byte
	machine elf.Machine
	secs    []inSection
}

// readELF checks the header, the section header table and the section names. Sections
// must lie in the file in the order of their headers and not overlap.
func readELF(raw []byte) (*elfReader, error) {
	var h elf.Header64
	if len(raw) > MaxFile {
		return nil, &FormatError{Off: MaxFile, Msg: "file is larger than 256 MiB", Val: uint64(len(raw))}
	}
	if _, err := binary.Decode(raw, binary.LittleEndian, &h); err != nil {
		return nil, &FormatError{Off: int64(len(raw)), Msg: "file ends in the ELF header"}
	}
	switch {
	case string(h.Ident[:4]) != elf.ELFMAG:
		return nil, &FormatError{Off: 0, Msg: "not an ELF file", Val: h.Ident[:4]}
	case elf.Class(h.Ident[elf.EI_CLASS]) != elf.ELFCLASS64:
		return nil, &FormatError{Off: elf.EI_CLASS, Msg: "not a 64-bit ELF file", Val: elf.Class(h.Ident[elf.EI_CLASS])}
	case elf.Data(h.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return nil, &FormatError{Off: elf.EI_DATA, Msg: "not a little-endian ELF file", Val: elf.Data(h.Ident[elf.EI_DATA])}
	case elf.Type(h.Type) != elf.ET_REL:
		return nil, &FormatError{Off: 16, Msg: "not a relocatable ELF file, as a patch is", Val: elf.Type(h.Type)}
	case h.Shentsize != shdrSize:
		return nil, &FormatError{Off: 58, Msg: "size of a section header is not 64", Val: uint64(h.Shentsize)}
	case h.Shnum == 0 || h.Shstrndx == 0 || h.Shstrndx >= h.Shnum:
		return nil, &FormatError{Off: 62, Msg: "no section name table at this index", Val: uint64(h.Shstrndx)}
	case h.Shoff > uint64(len(raw)) || (uint64(len(raw))-h.Shoff)/shdrSize < uint64(h.Shnum):
		return nil, &FormatError{Off: 40, Msg: "section header table runs past the end of the file", Val: h.Shoff}
	}
	r := &elfReader{raw: raw, machine: elf.Machine(h.Machine), secs: make([]inSection, h.Shnum)}
	if err := r.readSections(int64(h.Shoff)); err != nil {
		return nil, err
	}
	return r, r.readNames(&r.secs[h.Shstrndx])
}

func (r *elfReader) readSections(shoff int64) error {
	end := uint64(ehdrSize)
	for i := range r.secs {
		s := &r.secs[i]
		s.hdrAt = shoff + int64(i)*shdrSize
		if _, err := binary.Decode(r.raw[s.hdrAt:], binary.LittleEndian, &s.Section64); err != nil {
			return &FormatError{Off: s.hdrAt, Msg: "section header is cut off"}
		}
		if typ := elf.SectionType(s.Type); i == 0 || typ == elf.SHT_NOBITS {
			continue
		}
		if s.Off < end {
			return &FormatError{Off: s.hdrAt + 24, Msg: "section overlaps the one before it", Val: s.Off}
		}
		if s.Off > uint64(len(r.raw)) || s.Size > uint64(len(r.raw))-s.Off {
			return &FormatError{Off: s.hdrAt + 32, Msg: "section runs past the end of the file", Val: s.Size}
		}
		end = s.Off + s.Size
		s.data = r.raw[s.Off:end:end]
	}
	return nil
}

func (r *elfReader) readNames(tab *inSection) error {
	names := newStringReader(tab.data)
	for i := 1; i < len(r.secs); i++ {
		s := &r.secs[i]
		name, msg := names.get(s.Name)
		if msg != "" {
			return &FormatError{Off: s.hdrAt, Msg: "section name: " + msg, Val: uint64(s.Name)}
		}
		s.name = name
	}
	return nil
}

// stringReader reads a string table. Many names may stand at one place in it; so that a small file cannot
// cost much memory or time, each string is held once and the sum of all names is bounded.
type stringReader struct {
	tab    []byte
	seen   map[uint32]string
	budget int // bytes of names that may still be read
}

func newStringReader(tab []byte) *stringReader {
	return &stringReader{tab: tab, seen: make(map[uint32]string), budget: MaxFile}
}

// get returns the string at off, or what is wrong with it. A string that it returns can be printed.
func (r *stringReader) get(off uint32) (s, msg string) {
	s, ok := r.seen[off]
	if !ok {
		if uint64(off) >= uint64(len(r.tab)) {
			return "", "not in the string table"
		}
		if off > 0 && r.tab[off-1] != 0 {
			return "", "begins inside another string"
		}
		n := bytes.IndexByte(r.tab[off:], 0)
		if n < 0 || n > maxString {
			return "", "string is too long or does not end"
		}
		s = string(r.tab[off:][:n])
		if msg := badString(s); msg != "" {
			return "", msg
		}
		r.seen[off] = s
	}
	if r.budget -= len(s); r.budget < 0 {
		return "", "too many long names"
	}
	return s, ""
}

// find returns the section of that name, nil if there is none.
func (r *elfReader) find(name string) *inSection {
	for i := range r.secs {
		if i > 0 && r.secs[i].name == name {
			return &r.secs[i]
		}
	}
	return nil
}

// payload fills p.Sections, their relocations and p.Symbols. What stands in the
// wrong place, is missing or unknown is found when the patch is written once more.
func (r *elfReader) payload(p *Patch, where *locator) error {
	n := 0
	for n+1 < len(r.secs) && elf.SectionFlag(r.secs[n+1].Flags)&elf.SHF_ALLOC != 0 {
		n++
	}
	if n > maxSections {
		return &FormatError{Off: r.secs[n].hdrAt, Msg: "too many payload sections", Val: uint64(n)}
	}
	if n > 0 {
		p.Sections = make([]Section, n)
	}
	for i := range p.Sections {
		s := &r.secs[i+1]
		where.record(tabSections, s.hdrAt)
		k, ok := sectionKind(s)
		if !ok {
			return &FormatError{Off: s.hdrAt + 8, Msg: "section " + s.name + ": flags of no payload section", Val: s.Flags}
		}
		p.Sections[i] = Section{Name: s.name, Kind: k, Align: s.Addralign, Data: s.data, Size: s.Size}
	}
	if err := r.symbols(p, where); err != nil {
		return err
	}
	where.relocs = make([]int64, n)
	for i := n + 1; i < len(r.secs); i++ {
		if elf.SectionType(r.secs[i].Type) != elf.SHT_RELA {
			continue
		}
		if err := r.relocs(p, &r.secs[i], where); err != nil {
			return err
		}
	}
	return nil
}

func sectionKind(s *inSection) (Kind, bool) {
	for k, want := range kindFlags {
		if s.Type == uint32(want.typ) && s.Flags == uint64(want.flags) {
			if Kind(k) == ROData && s.name == ehFrameName {
				return EHFrame, true
			}
			return Kind(k), true
		}
	}
	return 0, false
}

func (r *elfReader) symbols(p *Patch, where *locator) error {
	tab, strs := r.find(nameSymtab), r.find(nameStrtab)
	if tab == nil || strs == nil {
		return &FormatError{Off: r.secs[0].hdrAt, Msg: "no symbol table"}
	}
	n := len(tab.data)/symSize - 1
	if n < 0 || n > maxSymbols || len(tab.data)%symSize != 0 {
		return &FormatError{Off: tab.hdrAt + 32, Msg: "size of the symbol table", Val: tab.Size}
	}
	if n > 0 {
		p.Symbols = make([]Symbol, n)
	}
	names := newStringReader(strs.data)
	for i := range p.Symbols {
		off := (i + 1) * symSize
		at := int64(tab.Off) + int64(off)
		where.record(tabSymbols, at)
		var s elf.Sym64
		if _, err := binary.Decode(tab.data[off:], binary.LittleEndian, &s); err != nil {
			return &FormatError{Off: at, Msg: "symbol is cut off"}
		}
		name, msg := names.get(s.Name)
		if msg != "" {
			return &FormatError{Off: at, Msg: "symbol name: " + msg, Val: uint64(s.Name)}
		}
		if err := decodeSymbol(&p.Symbols[i], &s, name, len(p.Sections), at); err != nil {
			return err
		}
	}
	return nil
}

func decodeSymbol(sym *Symbol, s *elf.Sym64, name string, sections int, at int64) error {
	sym.Name, sym.Value, sym.Size = name, s.Value, s.Size
	switch typ := elf.ST_TYPE(s.Info); typ {
	case elf.STT_FUNC:
		sym.Func = true
	case elf.STT_OBJECT:
	default:
		return &FormatError{Off: at + 4, Msg: "symbol " + name + ": type is neither function nor object", Val: typ}
	}
	switch bind := elf.ST_BIND(s.Info); bind {
	case elf.STB_LOCAL:
		sym.Local = true
	case elf.STB_WEAK:
		sym.Weak = true
	case elf.STB_GLOBAL:
	default:
		return &FormatError{Off: at + 4, Msg: "symbol " + name + ": unknown binding", Val: bind}
	}
	switch shndx := elf.SectionIndex(s.Shndx); {
	case shndx == elf.SHN_UNDEF:
		sym.Kind = SymImport
		if i := strings.LastIndexByte(name, '@'); i >= 0 {
			sym.Name, sym.Version = name[:i], name[i+1:]
		}
	case shndx == elf.SHN_ABS:
		sym.Kind = SymImage
	case int(shndx) <= sections:
		sym.Kind, sym.Section = SymDefined, int(shndx)-1
	default:
		return &FormatError{Off: at + 6, Msg: "symbol " + name + ": not in a payload section", Val: uint64(shndx)}
	}
	return nil
}

func (r *elfReader) relocs(p *Patch, s *inSection, where *locator) error {
	i := int64(s.Info) - 1
	if i < 0 || i >= int64(len(p.Sections)) {
		return &FormatError{Off: s.hdrAt + 44, Msg: "relocations of no payload section", Val: uint64(s.Info)}
	}
	target := &p.Sections[i]
	if target.Relocs != nil || len(s.data) == 0 || len(s.data)%relaSize != 0 {
		return &FormatError{Off: s.hdrAt + 32, Msg: "section " + s.name + ": empty, cut off or a second one", Val: s.Size}
	}
	where.relocs[i] = int64(s.Off)
	target.Relocs = make([]Reloc, len(s.data)/relaSize)
	le := binary.LittleEndian
	for j := range target.Relocs {
		b := s.data[j*relaSize:]
		info := le.Uint64(b[8:])
		target.Relocs[j] = Reloc{
			Off: le.Uint64(b), Type: elf.R_TYPE64(info), Sym: int(elf.R_SYM64(info)) - 1, Addend: int64(le.Uint64(b[16:])),
		}
	}
	return nil
}
