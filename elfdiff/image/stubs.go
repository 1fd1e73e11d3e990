package image

import (
	"bytes"
	"debug/elf"
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
// and bound stubs, with or without endbr64 and bnd, in .plt, .plt.sec, .plt.got and .iplt.
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

// endbr64 is the landing pad of x86-64 (Intel SDM vol. 2, ENDBR64).
var endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}

func (im *Image) stubsIn(s *Section) {
	for off := 0; off < len(s.Data); {
		in, err := im.Arch.Decode(s.Data[off:])
		if err != nil {
			off++
			continue
		}
		at := s.Addr + arch.ImageAddr(off)
		if op := in.Ops[0]; in.Flow == arch.FlowJumpInd && in.NumOps > 0 && op.Kind == arch.OpPC {
			if slot := im.slots[at+arch.ImageAddr(op.Value)]; slot != nil {
				imp := *slot
				imp.Func = true
				stub := im.addImport(imp)
				im.stubs[at] = stub
				for _, n := range stubHeads(s.Data[:off]) {
					im.stubs[at-arch.ImageAddr(n)] = stub
				}
			}
		}
		off += in.Len
	}
}

// stubHeads returns how many bytes in front of a stub's jump it may start: at a landing pad, and at the move of the stub's number into a
// register with which mold's stubs begin (41 bb: mov imm32, %r11d).
func stubHeads(front []byte) []int {
	var heads []int
	n := 0
	if at := len(front) - 6; at >= 0 && front[at] == 0x41 && front[at+1] == 0xbb {
		n = 6
		heads = append(heads, n)
	}
	if bytes.HasSuffix(front[:len(front)-n], endbr64) {
		heads = append(heads, n+len(endbr64))
	}
	return heads
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
	imp := Import{Name: r.Sym, Version: r.Version, Weak: r.Weak, Func: r.Func, Type: r.Type, Slot: addr}
	switch elf.R_X86_64(r.Type) {
	case elf.R_X86_64_IRELATIVE:
		imp.Func = true
		imp.Local = im.AtomAt(arch.ImageAddr(r.Addend))
		if imp.Local != nil {
			imp.Name = imp.Local.Name
		}
		return imp, imp.Local != nil
	case elf.R_X86_64_GLOB_DAT, elf.R_X86_64_JMP_SLOT, elf.R_X86_64_64,
		elf.R_X86_64_TPOFF64, elf.R_X86_64_DTPMOD64, elf.R_X86_64_DTPOFF64, elf.R_X86_64_TLSDESC:
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
