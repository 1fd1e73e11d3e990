package image

import (
	"fmt"
	"slices"

	"hotpatch/arch"
)

// DataRefs returns the fields of a data atom that hold places: those that the dynamic linker relocates, and, if the file has
// link-time relocations, those as well. In an ET_EXEC file without link-time relocations, nothing tells the linked-in
// pointers from numbers: every aligned word that could be an address is listed, with Place.Number set. The entries of a
// table of distances are not listed, see [Image.RelativeRefs].
func (im *Image) DataRefs(a *Atom) []DataRef { return im.AppendDataRefs(nil, a) }

// AppendDataRefs appends what DataRefs returns.
func (im *Image) AppendDataRefs(refs []DataRef, a *Atom) []DataRef {
	if a.Kind == TLSObject {
		return im.appendDataRefs(refs, a.Addr, min(a.End(), im.TLS.Addr+arch.ImageAddr(im.TLS.FileSize)))
	}
	return im.appendDataRefs(refs, a.Addr, a.End())
}

// DataRefsIn is DataRefs for the bytes in [start, end), such as a constant without a symbol.
func (im *Image) DataRefsIn(start, end arch.ImageAddr) []DataRef {
	return im.appendDataRefs(nil, start, end)
}

func (im *Image) appendDataRefs(refs []DataRef, start, end arch.ImageAddr) []DataRef {
	if end <= start {
		return refs
	}
	dyn, links := im.DynRelocs(start, end), im.LinkRelocs(start, end)
	refs = slices.Grow(refs, max(len(dyn), len(links)))
	used := stored(dyn, links)
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
	return refs
}

// stored lists the addresses that dynamic relocations, or the words of a fixed program, store, sorted.
func stored(dyn []DynReloc, links []LinkReloc) []arch.ImageAddr {
	var used []arch.ImageAddr
	for i := range links {
		if links[i].Number {
			used = append(used, links[i].Value)
		}
	}
	for i := range dyn {
		if dyn[i].Kind == arch.DynRelative {
			used = append(used, arch.ImageAddr(dyn[i].Addend))
		}
	}
	slices.Sort(used)
	return used
}

// dynRef resolves a dynamically relocated word.
func (im *Image) dynRef(r *DynReloc, link *LinkReloc, used []arch.ImageAddr) DataRef {
	ref := DataRef{Size: r.Size}
	switch {
	case r.Kind == arch.DynRelative:
		sym := ""
		if link != nil && !link.Section {
			sym = link.Sym
		}
		ref.Place = im.addressPlace(arch.ImageAddr(r.Addend), sym, &evidence{used: used})
	case r.Kind == arch.DynIRelative:
		a := im.AtomAt(arch.ImageAddr(r.Addend))
		ref.Place = Place{Kind: PlaceAtom, Atom: a, Addr: arch.ImageAddr(r.Addend), Proven: true}
		if a == nil || a.Addr != ref.Place.Addr {
			ref.Place = Place{Kind: PlaceUnknown, Addr: arch.ImageAddr(r.Addend), Why: "IFUNC resolver without a symbol"}
		}
	case r.Sym != "":
		imp := &Import{Name: r.Sym, Version: r.Version, Weak: r.Weak, Func: r.Func, Kind: r.Kind}
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
	v := l.Value + arch.ImageAddr(l.Addend)
	// start + (S + A - P), for a table of offsets from its own start.
	relative := v - (l.Addr - start)
	if l.Kind != arch.LinkAddress || l.Form != arch.FormWhole && l.Form != arch.FormPC {
		return DataRef{}
	}
	ref := DataRef{Size: uint8(l.Size), Relative: l.Form == arch.FormPC}
	if ref.Relative {
		v = relative
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
	ref.Place.Number = l.Number
	ref.Place.Proven = ref.Place.Proven && !l.Number
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
