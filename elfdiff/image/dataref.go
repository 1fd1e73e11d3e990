package image

import (
	"cmp"
	"debug/elf"
	"fmt"
	"slices"

	"hotpatch/arch"
)

// DataRefs returns the fields of a data atom that hold places: those that the dynamic linker relocates, and, if the file has
// link-time relocations, those as well. In an ET_EXEC file without link-time relocations, nothing tells the linked-in
// pointers from numbers: every aligned word that could be an address is listed, with Place.Number set. The entries of a
// table of distances are not listed, see [Image.RelativeRefs].
func (im *Image) DataRefs(a *Atom) []DataRef {
	if a.Kind == TLSObject {
		return im.DataRefsIn(a.Addr, min(a.End(), im.TLS.Addr+arch.ImageAddr(im.TLS.FileSize)))
	}
	return im.DataRefsIn(a.Addr, a.End())
}

// DataRefsIn is DataRefs for the bytes in [start, end), such as a constant without a symbol.
func (im *Image) DataRefsIn(start, end arch.ImageAddr) []DataRef {
	if end <= start {
		return nil
	}
	dyn, links := im.DynRelocs(start, end), im.LinkRelocs(start, end)
	refs := make([]DataRef, 0, max(len(dyn), len(links)))
	used := stored(dyn)
	for len(dyn) > 0 || len(links) > 0 {
		var r DataRef
		switch {
		case len(links) == 0 || len(dyn) > 0 && dyn[0].Addr <= links[0].Addr:
			var link *LinkReloc
			at := dyn[0].Addr
			for len(links) > 0 && links[0].Addr == at {
				link, links = &links[0], links[1:]
			}
			r = im.dynRef(&dyn[0], link, used)
			r.Off = uint64(at - start)
			dyn = dyn[1:]
		default:
			r = im.linkRef(&links[0], start, used)
			r.Off = uint64(links[0].Addr - start)
			links = links[1:]
		}
		if r.Size > 0 {
			refs = append(refs, r)
		}
	}
	if im.Type == elf.ET_EXEC && !im.HasRelocs {
		refs = im.addWords(refs, start, end)
	}
	return refs
}

// addWords adds the words in [start, end) whose value is an address in a section to the fields that are known, which are by offset.
func (im *Image) addWords(known []DataRef, start, end arch.ImageAddr) []DataRef {
	const size = 8 // of an address, and its alignment
	first := arch.ImageAddr(alignUp(uint64(start), size))
	if first >= end || end-first < size {
		return known
	}
	data, ok := im.Bytes(first, uint64(end-first))
	if s := im.SectionAt(start); !ok || s == nil || s.Exec() || isGOT(s) {
		return known
	}
	var found []DataRef
	var used []arch.ImageAddr
	next := known
	for off := 0; off+size <= len(data); off += size {
		at := uint64(first-start) + uint64(off)
		for len(next) > 0 && next[0].Off+uint64(next[0].Size) <= at {
			next = next[1:]
		}
		v := arch.ImageAddr(order.Uint64(data[off:]))
		if len(next) > 0 && next[0].Off < at+size || im.SectionAt(v) == nil {
			continue
		}
		found = append(found, DataRef{Off: at, Size: size, Type: uint32(elf.R_X86_64_64), Place: Place{Addr: v}})
		used = append(used, v)
	}
	slices.Sort(used)
	for i := range found {
		p := &found[i].Place
		*p = im.addressPlace(p.Addr, "", &evidence{used: used})
		p.Number, p.Proven = true, false
	}
	known = append(known, found...)
	slices.SortFunc(known, func(a, b DataRef) int { return cmp.Compare(a.Off, b.Off) })
	return known
}

// stored lists the addresses that dynamic relocations store, sorted.
func stored(dyn []DynReloc) []arch.ImageAddr {
	var used []arch.ImageAddr
	for i := range dyn {
		if elf.R_X86_64(dyn[i].Type) == elf.R_X86_64_RELATIVE {
			used = append(used, arch.ImageAddr(dyn[i].Addend))
		}
	}
	slices.Sort(used)
	return used
}

// dynRef resolves a dynamically relocated word.
func (im *Image) dynRef(r *DynReloc, link *LinkReloc, used []arch.ImageAddr) DataRef {
	ref := DataRef{Size: r.Size, Type: r.Type}
	switch typ := elf.R_X86_64(r.Type); {
	case typ == elf.R_X86_64_RELATIVE:
		sym := ""
		if link != nil && !link.Section {
			sym = link.Sym
		}
		ref.Place = im.addressPlace(arch.ImageAddr(r.Addend), sym, &evidence{used: used})
	case typ == elf.R_X86_64_IRELATIVE:
		a := im.AtomAt(arch.ImageAddr(r.Addend))
		ref.Place = Place{Kind: PlaceAtom, Atom: a, Addr: arch.ImageAddr(r.Addend), Proven: true}
		if a == nil {
			ref.Place = Place{Kind: PlaceUnknown, Addr: arch.ImageAddr(r.Addend), Why: "IFUNC resolver without a symbol"}
		}
	case r.Sym != "":
		imp := &Import{Name: r.Sym, Version: r.Version, Weak: r.Weak, Func: r.Func, Type: r.Type}
		if r.Defined {
			imp.Local = im.symbolAtom(r)
		}
		ref.Place = Place{Kind: PlaceImport, Import: imp, Addend: r.Addend, Addr: r.Addr, Proven: true}
	default:
		ref.Place = Place{Kind: PlaceUnknown, Addr: r.Addr, Why: fmt.Sprintf("dynamic relocation of type %d", r.Type)}
	}
	return ref
}

// linkRef resolves a field that only a link-time relocation tells of.
func (im *Image) linkRef(l *LinkReloc, start arch.ImageAddr, used []arch.ImageAddr) DataRef {
	ref := DataRef{Type: l.Type}
	v := l.Value + arch.ImageAddr(l.Addend)
	// start + (S + A - P), for a table of offsets from its own start.
	relative := v - (l.Addr - start)
	switch elf.R_X86_64(l.Type) {
	case elf.R_X86_64_64:
		ref.Size = 8
	case elf.R_X86_64_32, elf.R_X86_64_32S:
		ref.Size = 4
	case elf.R_X86_64_PC32, elf.R_X86_64_PLT32:
		ref.Size, ref.Relative, v = 4, true, relative
	default:
		return DataRef{}
	}
	sym := l.Sym
	if l.Undef {
		if b, ok := im.Bytes(l.Addr, uint64(ref.Size)); ok && allZero(b) {
			return DataRef{} // a weak symbol that nothing defines: the null pointer
		}
		sym = ""
	}
	if ref.Relative {
		sym = "" // the symbol's addend counts the distance from the table's start
	}
	ref.Place = im.addressPlace(v, sym, &evidence{used: used})
	return ref
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
