package image

import (
	"strings"

	"hotpatch/arch"
)

// findImports lists what GOT slots and PLT stubs lead to.
func (im *Image) findImports() {
	im.slots = make(map[arch.ImageAddr]*Import)
	for i := range im.dyn.relocs {
		at := im.dyn.relocs[i].Addr
		if _, known := im.slots[at]; known {
			continue
		}
		if imp, ok := im.readSlot(at); ok {
			im.slots[at] = im.addImport(imp)
		}
	}
	im.findStubs()
}

// addImport lists an import.
func (im *Image) addImport(imp Import) *Import {
	imp.ID = len(im.Imports)
	im.Imports = append(im.Imports, &imp)
	return &imp
}

// findStubs decodes the PLT sections. A stub is an indirect jump through a slot, with a landing
// pad in front of it or not; the slot's dynamic relocation names it. That holds for lazy
// and bound stubs in .plt, .plt.sec, .plt.got and .iplt.
func (im *Image) findStubs() {
	im.stubs = make(map[arch.ImageAddr]*Import)
	for _, s := range im.Sections {
		if !s.Exec() || s.Data == nil || s.Name != ".plt" && s.Name != ".iplt" && !strings.HasPrefix(s.Name, ".plt.") {
			continue
		}
		if im.stubRange[1] == 0 {
			im.stubRange[0] = s.Addr
		}
		im.stubRange[1] = s.End()
		im.stubsIn(s)
	}
}

func (im *Image) stubsIn(s *Section) {
	for off := 0; off < len(s.Data); {
		in, err := im.Arch.Decode(s.Data[off:])
		if err != nil {
			off += im.Arch.InstAlign
			continue
		}
		if in.Flow == arch.FlowJumpInd {
			im.addStub(s, off)
		}
		off += in.Len
	}
}

// addStub adds the stub whose jump is at offset off of a section, if its slot is known.
func (im *Image) addStub(s *Section, off int) {
	at, starts, ok := im.Arch.PLTStub(s.Data, s.Addr, off)
	slot := im.slots[at]
	if !ok || slot == nil {
		return
	}
	imp := *slot
	imp.Func = true
	stub := im.addImport(imp)
	for _, start := range starts {
		im.stubs[s.Addr+arch.ImageAddr(start)] = stub
	}
}

// Stub returns what the PLT stub at addr leads to.
func (im *Image) Stub(addr arch.ImageAddr) (Import, bool) {
	if s := im.stubAt(addr); s != nil {
		return *s, true
	}
	return Import{}, false
}

// stubAt returns what the PLT stub at addr leads to, or nil.
func (im *Image) stubAt(addr arch.ImageAddr) *Import {
	if addr < im.stubRange[0] || addr >= im.stubRange[1] {
		return nil // as nearly all addresses
	}
	return im.stubs[addr]
}

// Slot returns the symbol whose address (or TLS offset, or module) the dynamic linker stores
// in the GOT slot at addr. It is false for slots that hold an address of this image without a symbol.
func (im *Image) Slot(addr arch.ImageAddr) (Import, bool) {
	if s, ok := im.slots[addr]; ok {
		return *s, true
	}
	return Import{}, false
}

// readSlot finds what Slot returns.
func (im *Image) readSlot(addr arch.ImageAddr) (Import, bool) {
	s := im.SectionAt(addr)
	if s == nil || !isGOT(s) {
		return Import{}, false
	}
	r, ok := im.DynReloc(addr)
	if !ok {
		return Import{}, false
	}
	imp := Import{Name: r.Sym, Version: r.Version, Weak: r.Weak, Func: r.Func, Kind: r.Kind, Slot: addr}
	switch r.Kind {
	case arch.DynIRelative:
		imp.Func = true
		imp.Local = im.AtomAt(arch.ImageAddr(r.Addend))
		if imp.Local != nil {
			imp.Name = imp.Local.Name
		}
		return imp, imp.Local != nil
	case arch.DynGlobDat, arch.DynJumpSlot, arch.DynAbs, arch.DynTPOff, arch.DynDTPMod, arch.DynDTPOff, arch.DynTLSDesc:
		if r.Sym == "" {
			return Import{}, false
		}
		if r.Defined {
			imp.Local = im.symbolAtom(&r)
		}
		return imp, true
	}
	return Import{}, false
}

// symbolAtom returns the atom of a dynamic relocation's symbol that this image defines.
func (im *Image) symbolAtom(r *DynReloc) *Atom {
	for a := range im.index.names.named(r.Sym) {
		at := a.Addr
		if a.Kind == TLSObject {
			at -= im.TLS.Addr
		}
		if at == r.SymDef {
			return a
		}
	}
	return nil
}

func isGOT(s *Section) bool { return s.Name == ".got" || strings.HasPrefix(s.Name, ".got.") }
