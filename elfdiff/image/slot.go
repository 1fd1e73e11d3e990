package image

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
)

// nullPlace is what a call or slot leads to whose weak symbol nothing defines.
func nullPlace(v arch.ImageAddr, slot bool) Place {
	return Place{Kind: PlaceLinker, Linker: NullSymbol, Addr: v, ViaSlot: slot, Proven: true}
}

// NullSymbol is Place.Linker of a reference to a weak symbol that nothing defined at link time: address zero.
const NullSymbol = "undefined weak symbol"

// OwnEnd is Place.Linker of a jump to the end of the function that it is in, behind which nothing begins: compilers put it where control never
// comes (a block that __builtin_unreachable ends, without optimisation).
const OwnEnd = "its own end"

// slotPlace resolves the GOT slot at v to what its content stands for.
func (im *Image) slotPlace(v arch.ImageAddr) (Place, bool) {
	if im.linkerMark(v) == "_GLOBAL_OFFSET_TABLE_" {
		return Place{Kind: PlaceLinker, Linker: "_GLOBAL_OFFSET_TABLE_", Addr: v, Proven: true}, true
	}
	if imp := im.slots[v]; imp != nil {
		p := im.importPlace(imp, v, true)
		switch imp.Kind {
		case arch.DynTPOff, arch.DynDTPMod, arch.DynDTPOff, arch.DynTLSDesc:
			p.Kind, p.Atom = PlaceTLS, imp.Local
		}
		return p, true
	}
	if r, ok := im.DynReloc(v); ok {
		return im.localSlot(&r)
	}
	b, ok := im.Bytes(v, 8)
	if !ok {
		return Place{}, false
	}
	// Not relocated at run time: the linker stored the value.
	word := order.Uint64(b)
	if word == 0 {
		return nullPlace(v, true), true
	}
	if im.Type == elf.ET_EXEC {
		if p := im.exactPlace(arch.ImageAddr(word)); p.Kind != PlaceUnknown {
			p.Addr, p.ViaSlot, p.Proven = v, true, p.Kind == PlaceAtom
			return p, true
		}
	}
	if p := im.tlsPlace(int64(word)); p.Kind == PlaceTLS {
		p.Addr, p.ViaSlot = v, true
		return p, true
	}
	if im.SectionAt(arch.ImageAddr(word)) == nil {
		return Place{Kind: PlaceLinker, Linker: fmt.Sprintf("absolute symbol %#x", word), Addr: v, ViaSlot: true, Proven: true}, true
	}
	return Place{Kind: PlaceUnknown, Addr: v, Why: fmt.Sprintf("GOT slot %#x holds %#x", uint64(v), word)}, true
}

// localSlot resolves a slot that a relocation without a symbol fills.
func (im *Image) localSlot(r *DynReloc) (Place, bool) {
	switch r.Kind {
	case arch.DynRelative:
		p := im.exactPlace(arch.ImageAddr(r.Addend))
		p.Addr, p.ViaSlot = r.Addr, true
		p.Proven = p.Kind == PlaceAtom
		return p, true
	case arch.DynTPOff, arch.DynDTPOff, arch.DynTLSDesc:
		a := im.TLSAt(im.TLS.Addr + arch.ImageAddr(r.Addend))
		if a == nil {
			break
		}
		return Place{Kind: PlaceTLS, Atom: a, Addend: int64(im.TLS.Addr) + r.Addend - int64(a.Addr), Addr: r.Addr, ViaSlot: true, Proven: true}, true
	case arch.DynDTPMod:
		// The module's own number (local dynamic): no object yet; offsets follow in the code. Or a variable of
		// the module (general dynamic), see [resolver.generalDynamic].
		return Place{Kind: PlaceTLS, Addr: r.Addr, ViaSlot: true, Proven: true}, true
	}
	return Place{Kind: PlaceUnknown, Addr: r.Addr, Why: fmt.Sprintf("GOT slot %#x with relocation type %d", uint64(r.Addr), r.Type)}, true
}

// ModuleOffset returns the offset in the module's TLS block that the pair of slots at a relocation of kind DynDTPMod without a symbol
// holds: a variable's for general dynamic access, zero for local dynamic access, which adds its own.
func (im *Image) ModuleOffset(r *DynReloc) (uint64, bool) {
	if r.Kind != arch.DynDTPMod || r.Sym != "" {
		return 0, false
	}
	if next, ok := im.DynReloc(r.Addr + 8); ok {
		return uint64(next.Addend), next.Kind == arch.DynDTPOff && next.Sym == ""
	}
	b, ok := im.Bytes(r.Addr+8, 8)
	if !ok {
		return 0, false
	}
	return order.Uint64(b), true
}

// generalDynamic completes the place of a slot of the module's own number where the code is that of general dynamic access, as far as the ABI
// tells it from local dynamic access.
func (im *Image) generalDynamic(p *Place, code []byte) {
	if im.Arch.TLSGeneral != nil && im.Arch.TLSGeneral(code) {
		im.moduleVariable(p)
	}
}

// moduleVariable completes the place of a slot of the module's own number with the variable whose offset stands beside it. For local dynamic access
// that is the first one.
func (im *Image) moduleVariable(p *Place) {
	r, ok := im.DynReloc(p.Addr)
	if p.Kind != PlaceTLS || p.Atom != nil || p.Import != nil || !ok {
		return
	}
	if off, ok := im.ModuleOffset(&r); ok && off < im.TLS.MemSize {
		at := im.TLS.Addr + arch.ImageAddr(off)
		if a := im.TLSAt(at); a != nil {
			p.Atom, p.Addend = a, int64(at-a.Addr)
		}
	}
}

// exactPlace resolves an address that a GOT slot holds: the linker makes slots for symbols, so it is where one starts.
func (im *Image) exactPlace(v arch.ImageAddr) Place {
	a := im.AtomAt(v)
	if a != nil && a.Addr == v && !isBoundMark(im.linkerMark(v)) {
		return Place{Kind: PlaceAtom, Atom: a, Addr: v}
	}
	return im.addressPlace(v, "", &evidence{})
}
