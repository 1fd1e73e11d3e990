package patch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Sizes of the ELF64 structures (System V gABI, chapter 4).
const (
	ehdrSize = 64
	shdrSize = 64
	symSize  = elf.Sym64Size
	relaSize = 24
)

const (
	nameSymtab   = ".symtab"
	nameStrtab   = ".strtab"
	nameShstrtab = ".shstrtab"
	relaPrefix   = ".rela"
)

// elfWriter lays out a relocatable ELF file in memory. Sections are placed in the order in which
// they are added.
type elfWriter struct {
	names strtab
	hdrs  []elf.Section64
	data  [][]byte
}

func newELFWriter() *elfWriter {
	w := &elfWriter{names: newStrtab()}
	w.hdrs = append(w.hdrs, elf.Section64{})
	w.data = append(w.data, nil)
	return w
}

// add appends a section and returns its index. h.Size is set from data, except for SHT_NOBITS.
func (w *elfWriter) add(name string, h elf.Section64, data []byte) int {
	h.Name = w.names.add(name)
	if elf.SectionType(h.Type) != elf.SHT_NOBITS {
		h.Size = uint64(len(data))
	}
	w.hdrs = append(w.hdrs, h)
	w.data = append(w.data, data)
	return len(w.hdrs) - 1
}

// finish adds .shstrtab, gives every section its offset and returns the file.
func (w *elfWriter) finish(machine elf.Machine) ([]byte, error) {
	w.names.add(nameShstrtab)
	w.add(nameShstrtab, elf.Section64{Type: uint32(elf.SHT_STRTAB), Addralign: 1}, w.names.b)
	off := uint64(ehdrSize)
	for i := 1; i < len(w.hdrs); i++ {
		h := &w.hdrs[i]
		off = alignUp(off, max(h.Addralign, 1))
		h.Off = off
		off += uint64(len(w.data[i]))
	}
	shoff := alignUp(off, 8)
	size := shoff + uint64(len(w.hdrs))*shdrSize
	if size > MaxFile {
		return nil, fmt.Errorf("the patch file would be %d bytes; the limit is %d", size, MaxFile)
	}
	le := binary.LittleEndian
	raw := make([]byte, 0, size)
	raw, err := binary.Append(raw, le, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F',
			elf.EI_CLASS: byte(elf.ELFCLASS64), elf.EI_DATA: byte(elf.ELFDATA2LSB), elf.EI_VERSION: byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_REL), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Shoff: shoff, Ehsize: ehdrSize, Shentsize: shdrSize,
		Shnum: uint16(len(w.hdrs)), Shstrndx: uint16(len(w.hdrs) - 1),
	})
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(w.hdrs); i++ {
		raw = append(padTo(raw, w.hdrs[i].Off), w.data[i]...)
	}
	return binary.Append(padTo(raw, shoff), le, w.hdrs)
}

// padTo appends zeros until b is n bytes long.
func padTo(b []byte, n uint64) []byte {
	return append(b, make([]byte, n-uint64(len(b)))...)
}

// alignUp rounds v up to a multiple of align, a power of two.
func alignUp(v, align uint64) uint64 { return (v + align - 1) &^ (align - 1) }

// strtab builds a string table in which equal strings are stored once.
type strtab struct {
	b   []byte
	off map[string]uint32
}

func newStrtab() strtab {
	return strtab{b: []byte{0}, off: map[string]uint32{"": 0}}
}

func (t *strtab) add(s string) uint32 {
	if o, ok := t.off[s]; ok {
		return o
	}
	o := uint32(len(t.b))
	t.b = append(append(t.b, s...), 0)
	t.off[s] = o
	return o
}

// kindFlags are the section flags and type by Kind; they decide the page protection.
var kindFlags = [...]struct {
	typ   elf.SectionType
	flags elf.SectionFlag
}{
	Text:    {elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_EXECINSTR},
	ROData:  {elf.SHT_PROGBITS, elf.SHF_ALLOC},
	Data:    {elf.SHT_PROGBITS, elf.SHF_ALLOC | elf.SHF_WRITE},
	BSS:     {elf.SHT_NOBITS, elf.SHF_ALLOC | elf.SHF_WRITE},
	EHFrame: {elf.SHT_PROGBITS, elf.SHF_ALLOC},
}

// write returns the file for a validated patch, and the offset of the ID in it.
func (p *Patch) write(id ID) (raw []byte, idOff uint64, err error) {
	w := newELFWriter()
	for i := range p.Sections {
		s := &p.Sections[i]
		k := kindFlags[s.Kind]
		w.add(s.Name, elf.Section64{Type: uint32(k.typ), Flags: uint64(k.flags), Size: s.Size, Addralign: s.Align}, s.Data)
	}
	var relas []int
	for i := range p.Sections {
		s := &p.Sections[i]
		if len(s.Relocs) == 0 {
			continue
		}
		relas = append(relas, w.add(relaPrefix+s.Name, elf.Section64{
			Type: uint32(elf.SHT_RELA), Flags: uint64(elf.SHF_INFO_LINK), Info: uint32(i + 1), Addralign: 8, Entsize: relaSize,
		}, encodeRelocs(s.Relocs)))
	}
	identity := len(w.hdrs)
	for _, s := range p.ownSections(id) {
		w.add(s.name, elf.Section64{Type: uint32(elf.SHT_PROGBITS), Addralign: 1}, s.data)
	}
	symtab, strs, locals := p.encodeSymbols()
	sym := w.add(nameSymtab, elf.Section64{
		Type: uint32(elf.SHT_SYMTAB), Info: uint32(locals + 1), Addralign: 8, Entsize: symSize,
	}, symtab)
	str := w.add(nameStrtab, elf.Section64{Type: uint32(elf.SHT_STRTAB), Addralign: 1}, strs)
	w.hdrs[sym].Link = uint32(str)
	for _, r := range relas {
		w.hdrs[r].Link = uint32(sym)
	}
	raw, err = w.finish(p.Machine)
	if err != nil {
		return nil, 0, err
	}
	return raw, w.hdrs[identity].Off + uint64(fixedID), nil
}

func encodeRelocs(relocs []Reloc) []byte {
	b := make([]byte, 0, len(relocs)*relaSize)
	le := binary.LittleEndian
	for _, r := range relocs {
		b = le.AppendUint64(b, r.Off)
		b = le.AppendUint64(b, elf.R_INFO(uint32(r.Sym+1), r.Type))
		b = le.AppendUint64(b, uint64(r.Addend))
	}
	return b
}

// encodeSymbols returns .symtab, .strtab and the number of local symbols.
func (p *Patch) encodeSymbols() (symtab, strs []byte, locals int) {
	names := newStrtab()
	le := binary.LittleEndian
	symtab = make([]byte, symSize, (len(p.Symbols)+1)*symSize)
	for i := range p.Symbols {
		s := &p.Symbols[i]
		name := s.Name
		if s.Version != "" {
			name += "@" + s.Version
		}
		bind, typ := elf.STB_GLOBAL, elf.STT_OBJECT
		switch {
		case s.Local:
			bind = elf.STB_LOCAL
			locals++
		case s.Weak:
			bind = elf.STB_WEAK
		}
		if s.Func {
			typ = elf.STT_FUNC
		}
		shndx, value := elf.SHN_UNDEF, uint64(0)
		switch s.Kind {
		case SymDefined:
			shndx, value = elf.SectionIndex(s.Section+1), s.Value
		case SymImage:
			shndx, value = elf.SHN_ABS, s.Value
		}
		symtab = le.AppendUint32(symtab, names.add(name))
		symtab = append(symtab, elf.ST_INFO(bind, typ), byte(elf.STV_DEFAULT))
		symtab = le.AppendUint16(symtab, uint16(shndx))
		symtab = le.AppendUint64(symtab, value)
		symtab = le.AppendUint64(symtab, s.Size)
	}
	return symtab, names.b, locals
}
