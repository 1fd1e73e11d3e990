package elfdiff

import (
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
)

// Pairs that a linker made shorter because what they name is near: nop; adr xN, sym for adrp xN, sym; add xN, xN, :lo12:sym. They are compared as what
// they were, and the payload has them as that, as nothing of the image need be near to it.

// wideAt returns what stood in place of instruction k of a body, which names a place outside of the unit, and the no-op in front of it ([arch.Arch.Widen]).
func wideAt(a *arch.Arch, b *image.Body, k int32) ([]byte, bool) {
	if a.Widen == nil || k < 1 || int(k) >= len(b.Insts) {
		return nil, false
	}
	pad, in := &b.Insts[k-1], &b.Insts[k]
	if !pad.Nop || pad.End() != in.Off {
		return nil, false
	}
	wide, ok := a.Widen(b.Code[pad.Off:in.End()])
	if !ok || len(wide) != int(in.End()-pad.Off) {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(b.Refs, k, func(r image.Ref, k int32) int { return int(r.Inst - k) })
	if i == len(b.Refs) || b.Refs[i].Inst != k || b.Refs[i].Kind != image.RefAddr {
		return nil, false
	}
	switch b.Refs[i].Place.Kind {
	case image.PlaceNone, image.PlaceSelf:
		return nil, false // in the function itself: that is as near in the patch
	}
	if slices.ContainsFunc(b.Insts, func(x image.Inst) bool { return x.Target == k }) {
		return nil, false
	}
	return wide, true
}

// widen makes an instruction of a canonical form what it was before a linker made it shorter. It may be decoded into scratch.
func (t *token) widen(a *arch.Arch, k int, scratch *arch.Inst) error {
	if a.Widen == nil {
		return nil
	}
	wide, first := wideAt(a, t.body, int32(k)+1)
	if !first {
		var ok bool
		if wide, ok = wideAt(a, t.body, int32(k)); !ok {
			if wide, ok = pageAt(a, t.body, int32(k), t.code); !ok {
				return nil
			}
		}
	}
	n, err := a.Decode(wide)
	if err == nil && !first && len(wide) > n.Len {
		wide = wide[n.Len:]
		n, err = a.Decode(wide)
	}
	*scratch = n
	t.in, t.code, t.paged = scratch, wide, first
	return err
}

// pageAt returns what stood in place of instruction k of a body, if that makes a page in another way than it did before the file was linked.
func pageAt(a *arch.Arch, b *image.Body, k int32, code []byte) ([]byte, bool) {
	i, _ := slices.BinarySearchFunc(b.Refs, k, func(r image.Ref, k int32) int { return int(r.Inst - k) })
	if i == len(b.Refs) || b.Refs[i].Inst != k || b.Refs[i].Kind != image.RefPage {
		return nil, false
	}
	return a.Widen(code[:b.Insts[k].Len])
}

// widenAt is wideAt for a field of the new build's code.
func (e *emitter) widenAt(f *field, b *image.Body, k int32) ([]byte, bool) {
	if f.ref.Op == image.BranchField {
		return nil, false
	}
	return wideAt(e.d.new.im.Arch, b, k)
}

// relocateWide puts the longer pair into the payload that names sym + addend.
func (e *emitter) relocateWide(f *field, wide []byte, sym int, addend int64) error {
	at := uint64(f.off) + uint64(f.in.Len) - uint64(len(wide))
	copy(e.sections[f.sec].Data[at:], wide)
	if err := e.relocateOp(f.sec, at, arch.RelocPage, sym, addend); err != nil {
		return err
	}
	return e.relocateOp(f.sec, uint64(f.off), arch.RelocAbs, sym, addend)
}
