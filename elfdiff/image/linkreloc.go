package image

import (
	"debug/elf"
	"sort"

	"hotpatch/arch"
)

// readLinkRelocs reads the relocations that --emit-relocs kept: SHT_RELA sections that are not loaded and
// apply to one that is.
func (im *Image) readLinkRelocs(f *file) error {
	for _, s := range f.elf.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC != 0 {
			continue
		}
		if int(s.Info) >= len(f.elf.Sections) || f.elf.Sections[s.Info].Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		if err := im.readLinkSection(f, s); err != nil {
			return err
		}
		im.HasRelocs = true
	}
	sort.SliceStable(im.links, func(i, j int) bool { return im.links[i].Addr < im.links[j].Addr })
	return nil
}

func (im *Image) readLinkSection(f *file, s *elf.Section) error {
	data, err := f.read(s)
	if err != nil {
		return err
	}
	symSec, syms, err := f.link(s)
	if err != nil {
		return err
	}
	strSec, names, err := f.link(symSec)
	if err != nil {
		return err
	}
	strs := newStringTable(f.path, strSec, names, len(data)/relaSize)
	if len(data)%relaSize != 0 || len(syms)%elf.Sym64Size != 0 {
		return &FormatError{f.path, s.Offset, "section " + s.Name + " size", uint64(len(data))}
	}
	n := uint64(len(syms) / elf.Sym64Size)
	for off := 0; off < len(data); off += relaSize {
		b := data[off:]
		info := order.Uint64(b[8:])
		if info>>32 >= n {
			return &FormatError{f.path, s.Offset + uint64(off), "relocation of symbol number", info >> 32}
		}
		r := LinkReloc{Addr: arch.ImageAddr(order.Uint64(b)), Type: uint32(info), Addend: int64(order.Uint64(b[16:]))}
		if r.LinkReloc, _ = im.Arch.Link(r.Type); r.Kind == arch.LinkNone {
			continue
		}
		sym := syms[info>>32*elf.Sym64Size:]
		r.Value = arch.ImageAddr(order.Uint64(sym[8:]))
		name, err := strs.at(uint64(order.Uint32(sym)))
		if err != nil {
			return err
		}
		r.Sym = unversioned(name)
		r.Undef = order.Uint16(sym[6:]) == uint16(elf.SHN_UNDEF)
		r.TLS = elf.ST_TYPE(sym[4]) == elf.STT_TLS
		if r.Section = elf.ST_TYPE(sym[4]) == elf.STT_SECTION || isLocalLabel(f, sym, r.Sym); r.Section {
			r.Sym = ""
		}
		im.links = append(im.links, r)
	}
	return nil
}

// LinkRelocs returns the relocations of --emit-relocs in [start, end), by address. The caller must not change them.
func (im *Image) LinkRelocs(start, end arch.ImageAddr) []LinkReloc {
	ls := im.links
	i := sort.Search(len(ls), func(i int) bool { return ls[i].Addr >= start })
	j := i + sort.Search(len(ls)-i, func(k int) bool { return ls[i+k].Addr >= end })
	return ls[i:j:j]
}

// linkReloc returns the relocation of the field at addr.
func (im *Image) linkReloc(addr arch.ImageAddr) (*LinkReloc, bool) {
	i := sort.Search(len(im.links), func(i int) bool { return im.links[i].Addr >= addr })
	if i == len(im.links) || im.links[i].Addr != addr {
		return nil, false
	}
	return &im.links[i], true
}
