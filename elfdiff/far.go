package elfdiff

import (
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// Branches whose fields are too short to reach out of the payload, or from one of its sections to another: assemblers choose a short form for a
// tail call to a neighbour, and conditional branches lead to .cold parts. They go by way of a jump behind the end of their function.

// growth bounds what the code of a carried function takes up in the payload, with all that is put behind its end, as a multiple
// of its size with alignment: for an instruction of 4 bytes, a detour of three more.
const growth = 4

// textBound bounds the distance of two places in the code of the payload, in bytes.
func (e *emitter) textBound() int64 {
	if e.codeSize == 0 {
		for _, s := range e.sections {
			if s.Kind == patch.Text {
				e.codeSize += growth * int64(s.Size+s.Align)
			}
		}
	}
	return e.codeSize
}

// reaches reports whether the field of a branch reaches a symbol, wherever the payload is.
//
// Preconditions: all functions have been declared.
func (e *emitter) reaches(f *field, kind arch.RelocKind, sym int) bool {
	a := e.d.new.im.Arch
	typ, _, ok := a.FieldReloc(f.code, f.in, int(f.ref.Op), kind)
	if !ok {
		return false
	}
	const step = 8 // of what branches count in, or a multiple
	far := a.Jump.Reach
	if s := &e.symbols[sym]; s.Kind == patch.SymDefined && e.sections[s.Section].Kind == patch.Text {
		far = min(far, e.textBound())
	}
	far -= far % step
	put := func(v int64) bool {
		return a.Relocs[typ].Put(append([]byte(nil), f.code[f.ref.Off-f.off:]...), v) == nil
	}
	return put(far) && put(-far)
}

// far carries a branch that does not reach what it leads to, by a jump behind the end of its part of the function.
func (e *emitter) far(f *field, part *image.Atom, kind arch.RelocKind, sym int, addend int64) error {
	a := e.d.new.im.Arch
	s := &e.sections[f.sec]
	at := len(s.Data)
	if f.ref.Kind != image.RefJump {
		return fmt.Errorf("its field of %d bytes is too short to reach from the patch", f.ref.Size)
	}
	if err := a.Aim(s.Data[f.off:], f.in, int64(at)-int64(f.off)); err != nil {
		return fmt.Errorf("it does not reach the end of the function, from where a jump could reach out of the patch: %w", err)
	}
	jump, err := a.Jump.Encode(0, 0)
	if err != nil {
		return err
	}
	in, err := a.Decode(jump)
	if err != nil {
		return err
	}
	typ, adjust, ok := a.FieldReloc(jump, &in, arch.BranchOp, kind)
	if !ok {
		return fmt.Errorf("no relocation of a jump is of kind %d", kind)
	}
	s.Data = append(s.Data, jump...)
	s.Size = uint64(len(s.Data))
	e.symbols[e.bodies[part]].Size = s.Size
	return e.relocateAs(typ, f.sec, uint64(at)+uint64(in.BrOff), sym, addend+adjust)
}
