package truth

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
)

// object is an object file.
type object struct {
	name     string // of its unit
	machine  elf.Machine
	sections []*section
	symbols  []*symbol // by index; symbols[0] is the null symbol
}

// section is an allocated section of an object.
type section struct {
	obj     *object
	name    string
	flags   elf.SectionFlag
	entsize uint64
	size    uint64
	data    []byte // nil: zeros
	relocs  []reloc
	symbols []*symbol // functions and objects in it, by value, then the larger first
	pieces  []*piece  // by lo: what it is made of; see [program]
	places  []uint64  // offsets that relocations lead to, in sections without symbols, sorted
	group   string    // signature of its COMDAT group, or ""
	dropped bool      // a copy of a COMDAT group that another object has provided
}

// symbol is a symbol of an object.
type symbol struct {
	name  string
	file  string // the STT_FILE in front of a local one
	local bool
	weak  bool
	typ   elf.SymType
	sec   *section // nil if not defined in an allocated section
	value uint64   // offset in sec
	size  uint64
}

// code reports whether the section holds instructions.
func (s *section) code() bool { return s.flags&elf.SHF_EXECINSTR != 0 }

// merged reports whether the linker merges the section's pieces by content, so that only content counts.
func (s *section) merged() bool { return s.flags&elf.SHF_MERGE != 0 && s.entsize > 0 }

// texts reports whether those pieces are NUL-terminated.
func (s *section) texts() bool { return s.merged() && s.flags&elf.SHF_STRINGS != 0 }

// readObject reads an object file for x86-64 or arm64.
func readObject(name, path string) (*object, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Type != elf.ET_REL || f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_AARCH64 {
		return nil, fmt.Errorf("%s: %v for %v, not an object file for x86-64 or arm64", path, f.Type, f.Machine)
	}
	obj := &object{name: name, machine: f.Machine, sections: make([]*section, len(f.Sections))}
	for i, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		sec := &section{obj: obj, name: s.Name, flags: s.Flags, entsize: s.Entsize, size: s.Size}
		if s.Type != elf.SHT_NOBITS {
			if sec.data, err = s.Data(); err != nil {
				return nil, fmt.Errorf("%s: section %s: %w", path, s.Name, err)
			}
		}
		obj.sections[i] = sec
	}
	if err := obj.readSymbols(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, s := range f.Sections {
		if err := obj.readRelocs(s); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, sec := range obj.sections {
		if sec != nil {
			slices.Sort(sec.places)
		}
	}
	return obj, obj.readGroups(f)
}

// readGroups notes the signatures of COMDAT groups (gABI, chapter 4, "Section Groups").
func (obj *object) readGroups(f *elf.File) error {
	const comdat = 1 // GRP_COMDAT
	for _, s := range f.Sections {
		if s.Type != elf.SHT_GROUP {
			continue
		}
		data, err := s.Data()
		if err != nil || len(data) < 4 || int(s.Info) >= len(obj.symbols) {
			return fmt.Errorf("group %s of %d bytes, signature %d: %w", s.Name, len(data), s.Info, err)
		}
		if binary.LittleEndian.Uint32(data)&comdat == 0 {
			continue
		}
		for data = data[4:]; len(data) >= 4; data = data[4:] {
			if i := binary.LittleEndian.Uint32(data); int(i) < len(obj.sections) && obj.sections[i] != nil {
				obj.sections[i].group = obj.symbols[s.Info].name
			}
		}
	}
	return nil
}

func (obj *object) readSymbols(f *elf.File) error {
	syms, err := f.Symbols()
	if err != nil {
		return err
	}
	obj.symbols = append(obj.symbols, &symbol{})
	file := ""
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FILE {
			file = s.Name
		}
		sym := &symbol{name: s.Name, local: elf.ST_BIND(s.Info) == elf.STB_LOCAL,
			weak: elf.ST_BIND(s.Info) == elf.STB_WEAK, typ: elf.ST_TYPE(s.Info), value: s.Value, size: s.Size}
		if sym.local {
			sym.file = file
		}
		if s.Section == elf.SHN_COMMON {
			return fmt.Errorf("symbol %s: a common symbol; compile with -fno-common", s.Name)
		}
		if i := int(s.Section); s.Section < elf.SHN_LORESERVE && i < len(obj.sections) {
			sym.sec = obj.sections[i]
		}
		if sym.sec != nil && sym.names() {
			sym.sec.symbols = append(sym.sec.symbols, sym)
		}
		obj.symbols = append(obj.symbols, sym)
	}
	for _, sec := range obj.sections {
		if sec != nil {
			slices.SortStableFunc(sec.symbols, func(a, b *symbol) int {
				if a.value != b.value {
					return int(int64(a.value) - int64(b.value))
				}
				return int(int64(b.size) - int64(a.size))
			})
		}
	}
	return nil
}

// names reports whether the symbol is the name of a function or an object. Labels that a compiler made (.LC0) are none.
func (s *symbol) names() bool {
	switch s.typ {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC, elf.STT_OBJECT, elf.STT_TLS:
		return true
	}
	return s.typ == elf.STT_NOTYPE && !s.local && s.name != ""
}

// readRelocs reads the relocations of an allocated section, and notes the places in sections without symbols that they lead to.
func (obj *object) readRelocs(s *elf.Section) error {
	if s.Type == elf.SHT_REL {
		return fmt.Errorf("section %s: relocations without addends", s.Name)
	}
	if s.Type != elf.SHT_RELA || int(s.Info) >= len(obj.sections) || obj.sections[s.Info] == nil {
		return nil
	}
	sec := obj.sections[s.Info]
	data, err := s.Data()
	if err != nil {
		return fmt.Errorf("section %s: %w", s.Name, err)
	}
	const size = 24 // of Elf64_Rela
	for ; len(data) >= size; data = data[size:] {
		info := binary.LittleEndian.Uint64(data[8:])
		if int(info>>32) >= len(obj.symbols) {
			return fmt.Errorf("section %s: symbol %d of %d", s.Name, info>>32, len(obj.symbols))
		}
		r := reloc{
			off: binary.LittleEndian.Uint64(data), typ: uint32(info), relocType: typeOf(obj.machine, uint32(info)),
			sym: obj.symbols[info>>32], addend: int64(binary.LittleEndian.Uint64(data[16:])),
		}
		if r.off > sec.size || r.off+r.width > sec.size {
			return fmt.Errorf("section %s: relocation at %#x of a section of %#x bytes", s.Name, r.off, sec.size)
		}
		sec.relocs = append(sec.relocs, r)
		if t := r.sym.sec; t != nil && len(t.symbols) == 0 && sec.name != ".eh_frame" {
			t.places = append(t.places, uint64(r.place(sec)))
		}
	}
	slices.SortStableFunc(sec.relocs, func(a, b reloc) int { return int(int64(a.off) - int64(b.off)) })
	return nil
}

// extent returns the end of what begins at offset off of a section without symbols: where the next thing begins that a
// relocation leads to.
func (s *section) extent(off uint64) uint64 {
	i := sort.Search(len(s.places), func(i int) bool { return s.places[i] > off })
	if i < len(s.places) {
		return min(s.places[i], s.size)
	}
	return s.size
}
