package elfdiff

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// copied returns the variable of another module that a place means and that only the new
// build keeps a copy of (COPY relocation), or nil. The running program has no such copy: the variable is
// where its own module has it, which is out of reach of the payload.
func (e *emitter) copied(p *image.Place) *image.Atom {
	if b := p.Atom; p.Kind == image.PlaceAtom && b.Copy && e.d.rev.of(b) == nil && p.Addend == 0 && !p.Ambiguous() {
		return b
	}
	return nil
}

// foreign carries a load from such a variable, by a detour behind the end of the function.
func (e *emitter) foreign(sec int, part *image.Atom, body *image.Body, inst *image.Inst, in *arch.Inst, b *image.Atom) error {
	a := e.d.new.im.Arch
	s := &e.sections[sec]
	at := len(s.Data)
	site, detour, field, ok := a.Detour(body.Code[inst.Off:], in, arch.Addr(inst.Off), arch.Addr(at))
	if !ok {
		return fmt.Errorf("it reaches %s, a variable of another module, directly (COPY relocation), which the old build does not do, "+
			"and is no plain load; compile this file with -fPIC or -mno-direct-extern-access", b.Name)
	}
	copy(s.Data[inst.Off:], site)
	s.Data = append(s.Data, detour...)
	s.Size = uint64(len(s.Data))
	e.symbols[e.bodies[part]].Size = s.Size
	sym := e.symbol(patch.Symbol{Name: b.Name, Kind: patch.SymImport, Version: b.Version, Weak: b.Weak})
	const width = 4 // bytes of the field
	return e.relocate(sec, uint64(at+field), width, arch.RelocGOTPC, sym, -width)
}
