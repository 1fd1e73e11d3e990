package image

import (
	"cmp"
	"debug/elf"
	"slices"
	"sort"

	"hotpatch/arch"
)

// dynamic is what the dynamic linker would read of the image.
type dynamic struct {
	syms   []DynSymbol
	relocs []DynReloc // by Addr
	// blocks are the slots that lead to the module's own block of thread-local storage: for a module number, or a descriptor, without a symbol.
	blocks map[arch.ImageAddr]bool
}

// noSymbol is what relocations without a symbol name. It is never written to.
var noSymbol = new(DynSymbol)

// readDynamic reads DT_NEEDED and its like, .dynsym with versions, and the dynamic relocations.
func (im *Image) readDynamic(f *file) error {
	if err := im.readDynTags(f); err != nil {
		return err
	}
	if err := im.readDynsym(f); err != nil {
		return err
	}
	for _, s := range f.elf.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		var err error
		switch s.Type {
		case elf.SHT_RELA:
			err = im.readRela(f, s)
		case shtRelr:
			err = im.readRelr(f, s)
		case elf.SHT_REL:
			err = &FormatError{f.path, s.Offset, "relocations without addends are not part of the ABI", s.Name}
		}
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(im.dyn.relocs, func(a, b DynReloc) int { return cmp.Compare(a.Addr, b.Addr) })
	im.dyn.findBlocks()
	return nil
}

// findBlocks fills in blocks. Of several relocations of one word, the first counts.
func (d *dynamic) findBlocks() {
	d.blocks = make(map[arch.ImageAddr]bool)
	for i := range d.relocs {
		r := &d.relocs[i]
		if i > 0 && d.relocs[i-1].Addr == r.Addr || r.Sym != "" {
			continue
		}
		if r.Kind == arch.DynDTPMod || r.Kind == arch.DynTLSDesc {
			d.blocks[r.Addr] = true
		}
	}
}

// shtRelr is SHT_RELR of the ELF gABI: relative relocations, packed.
const shtRelr elf.SectionType = 19

func (im *Image) readDynTags(f *file) error {
	s := f.byType(elf.SHT_DYNAMIC)
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil
	}
	data, strs, err := f.readWithStrings(s, 16)
	if err != nil {
		return err
	}
	for ; len(data) >= 16; data = data[16:] {
		tag, val := elf.DynTag(order.Uint64(data)), order.Uint64(data[8:])
		switch tag {
		case elf.DT_NULL:
			return nil
		case elf.DT_NEEDED, elf.DT_SONAME:
			name, err := strs.at(val)
			if err != nil {
				return err
			}
			if tag == elf.DT_SONAME {
				im.SONAME = name
			} else {
				im.Needed = append(im.Needed, name)
			}
		case elf.DT_TEXTREL:
			im.TextRel = true
		case elf.DT_FLAGS:
			im.TextRel = im.TextRel || elf.DynFlag(val)&elf.DF_TEXTREL != 0
		case elf.DT_FLAGS_1:
			im.PIE = im.PIE || elf.DynFlag1(val)&elf.DF_1_PIE != 0
		}
	}
	return nil
}

func (im *Image) readDynsym(f *file) error {
	s := f.byType(elf.SHT_DYNSYM)
	if s == nil {
		return nil
	}
	data, strs, err := f.readWithStrings(s, elf.Sym64Size)
	if err != nil {
		return err
	}
	vers, err := readVersions(f)
	if err != nil {
		return err
	}
	n := len(data) / elf.Sym64Size
	im.dyn.syms = make([]DynSymbol, n)
	for i := 0; i < n; i++ {
		b := data[i*elf.Sym64Size:]
		name, err := strs.at(uint64(order.Uint32(b)))
		if err != nil {
			return err
		}
		bind := elf.ST_BIND(b[4])
		typ := elf.ST_TYPE(b[4])
		im.dyn.syms[i] = DynSymbol{
			Sym: name, Version: vers.of(i), SymDef: arch.ImageAddr(order.Uint64(b[8:])), size: order.Uint64(b[16:]),
			Defined: order.Uint16(b[6:]) != uint16(elf.SHN_UNDEF), Weak: bind == elf.STB_WEAK,
			Func: typ == elf.STT_FUNC || typ == elf.STT_GNU_IFUNC, typ: typ, bind: bind,
		}
	}
	return nil
}

// relaSize is the size of an Elf64_Rela.
const relaSize = 24

func (im *Image) readRela(f *file, s *elf.Section) error {
	data, err := f.read(s)
	if err != nil {
		return err
	}
	if len(data)%relaSize != 0 {
		return &FormatError{f.path, s.Offset, "section " + s.Name + " size", uint64(len(data))}
	}
	im.dyn.relocs = slices.Grow(im.dyn.relocs, len(data)/relaSize)
	for off := 0; off < len(data); off += relaSize {
		b := data[off:]
		info := order.Uint64(b[8:])
		r := DynReloc{Addr: arch.ImageAddr(order.Uint64(b)), Type: uint32(info), Addend: int64(order.Uint64(b[16:])), DynSymbol: noSymbol}
		if sym := info >> 32; sym != 0 {
			if sym >= uint64(len(im.dyn.syms)) {
				return &FormatError{f.path, s.Offset + uint64(off), "relocation of symbol number", sym}
			}
			r.DynSymbol = &im.dyn.syms[sym]
		}
		r.Kind, r.Size = im.dynKind(r.Type)
		im.dyn.relocs = append(im.dyn.relocs, r)
	}
	return nil
}

// dynKind describes a type of dynamic relocation, and the bytes that it writes. One that is not known is taken to write a word.
func (im *Image) dynKind(typ uint32) (arch.DynKind, uint8) {
	if r, ok := im.Arch.Dynamic(typ); ok {
		return r.Kind, uint8(r.Size)
	}
	return arch.DynOther, uint8(im.Arch.PtrSize)
}

// readRelr reads packed relative relocations: an even word is the address of a word to
// relocate; an odd one is a bitmap of the 63 words that follow the last.
func (im *Image) readRelr(f *file, s *elf.Section) error {
	data, err := f.read(s)
	if err != nil {
		return err
	}
	var at uint64
	for off := 0; off+8 <= len(data); off += 8 {
		w := order.Uint64(data[off:])
		if w&1 == 0 {
			if err := im.addRelr(f, s, w); err != nil {
				return err
			}
			at = w + 8
			continue
		}
		for i := uint64(0); i < 63; i++ {
			if w>>(i+1)&1 == 0 {
				continue
			}
			if err := im.addRelr(f, s, at+8*i); err != nil {
				return err
			}
		}
		at += 63 * 8
	}
	return nil
}

func (im *Image) addRelr(f *file, s *elf.Section, addr uint64) error {
	b, ok := im.Bytes(arch.ImageAddr(addr), 8)
	if !ok {
		return &FormatError{f.path, s.Offset, "section " + s.Name + " relocates an address outside the file's data", addr}
	}
	if uint64(len(im.dyn.relocs)) > f.size/8 {
		return &FormatError{f.path, s.Offset, "section " + s.Name + " relocates more words than the file has; address", addr}
	}
	im.dyn.relocs = append(im.dyn.relocs, DynReloc{
		Addr: arch.ImageAddr(addr), Kind: arch.DynRelative, Addend: int64(order.Uint64(b)), Size: 8, DynSymbol: noSymbol})
	return nil
}

// DynReloc returns the dynamic relocation of the word at addr.
func (im *Image) DynReloc(addr arch.ImageAddr) (DynReloc, bool) {
	rs := im.dyn.relocs
	i := sort.Search(len(rs), func(i int) bool { return rs[i].Addr >= addr })
	if i == len(rs) || rs[i].Addr != addr {
		return DynReloc{DynSymbol: noSymbol}, false
	}
	return rs[i], true
}

// DynRelocs returns the dynamic relocations in [start, end), by address. The caller must not change them.
func (im *Image) DynRelocs(start, end arch.ImageAddr) []DynReloc {
	rs := im.dyn.relocs
	i := sort.Search(len(rs), func(i int) bool { return rs[i].Addr >= start })
	j := i + sort.Search(len(rs)-i, func(k int) bool { return rs[i+k].Addr >= end })
	return rs[i:j:j]
}

// joinDynamic marks the atoms that .dynsym names, and those that COPY relocations fill.
func (im *Image) joinDynamic() {
	for i := range im.dyn.syms {
		d := &im.dyn.syms[i]
		if !d.Defined || d.Sym == "" {
			continue
		}
		for a := range im.index.names.named(d.Sym) {
			at := a.Addr
			if a.Kind == TLSObject {
				at -= im.TLS.Addr
			}
			if at == d.SymDef {
				a.Dynamic = true
				a.Version = d.Version
			}
		}
	}
	for i := range im.dyn.relocs {
		if r := &im.dyn.relocs[i]; r.Kind == arch.DynCopy {
			for _, a := range im.Covering(r.Addr) {
				a.Copy = true
			}
		}
	}
}
