package image

import (
	"fmt"
	"slices"

	"hotpatch/arch"
)

// constant returns a constant that node n makes, of one that others have made. What made a constant is known in units that read the thread pointer: it may be
// an offset from there, in place of a slot that holds it (initial exec to local exec, in ELF Handling For Thread-Local Storage). In a program that is linked
// for a fixed address, it may be an address (the large code model: MOVW_UABS_G0 to G3, in ELF for the Arm 64-bit Architecture).
func (f *flow) constant(n int32, at int64, of nodeSet) value {
	v := value{kind: valueNumber, at: at, bound: uint64(uint32(at)) + 1}
	if f.threaded || f.wide {
		v = f.made(n, valueNumber, at)
		if of != 0 {
			f.pieces[n] = of
		}
	}
	return v
}

// threadOffset notes that a constant, or what may be one, is added to the thread pointer.
func (f *flow) threadOffset() {
	t := f.t
	if !f.threaded || !t.HasMem || t.Mem.Base < 0 || t.Mem.Index < 0 {
		return
	}
	base, index := f.s.reg(t.Mem.Base), f.s.reg(t.Mem.Index)
	if index.kind == valueThread {
		base, index = index, base
	}
	if base.kind == valueNumber && index.kind == valueUnknown {
		base, index = index, base
	}
	if base.kind == valueUnknown && index.kind == valueNumber && f.relaxed(index.from) {
		for _, n := range f.sets.sets[index.from] { // to what else it could be added there is nothing: it was spilled as well
			f.offsets[n] = index.at
		}
		return
	}
	if base.kind == valueUnknown && index.kind == valueUnknown || index.kind == valueNumber && base.kind == valueUnknown {
		f.mayBeOffset(base.from)
		f.mayBeOffset(index.from)
		return
	}
	if base.kind != valueThread || index.from == 0 {
		return
	}
	for _, n := range f.sets.sets[index.from] {
		if f.makers[n].kind != valueNumber {
			continue
		}
		f.offsets[n] = base.at + index.at
		plain := t.Mem.Scale == 0 && t.Mem.Extend.Bits == 0 && !t.Mem.Minus && index.kind == valueNumber
		if !plain || base.from != 0 {
			f.lost[n] = "a constant is added to the thread pointer that is not the same on all ways"
		}
	}
}

// relaxed reports whether a number was made of two pieces, the first of which is zero: no compiler makes a number so. It is an offset from the thread
// pointer that a linker has put in the place of a load of it (movz #0, lsl #16; movk).
func (f *flow) relaxed(from nodeSet) bool {
	nodes := f.sets.sets[from]
	for _, n := range nodes {
		first := f.sets.sets[f.pieces[n]]
		if !f.highFirst(n) || f.makers[n].kind != valueNumber || slices.ContainsFunc(first, func(k int32) bool { return f.makers[k].at != 0 || f.pieces[k] != 0 }) {
			return false
		}
	}
	return len(nodes) > 0
}

// highFirst reports whether a constant was made of pieces, the highest first, as offsets from the thread pointer are (TLSIE_MOVW_GOTTPREL_G1 and TLSLE_MOVW_TPREL_G2
// to G0, in ELF for the Arm 64-bit Architecture): the last piece is the low 16 bits. Compilers begin numbers with those.
func (f *flow) highFirst(n int32) bool {
	return f.pieces[n] != 0 && f.does[n].Kind == arch.TransferInsert && f.does[n].Mask == 1<<16-1
}

// mayBeOffset notes that constants that are made of two parts are added to what may be the thread pointer.
func (f *flow) mayBeOffset(from nodeSet) {
	for _, n := range f.sets.sets[from] {
		if f.makers[n].kind == valueNumber && f.highFirst(n) {
			f.offsets[n] = f.makers[n].at
			f.lost[n] = "whether a constant is added to the thread pointer is not known"
		}
	}
}

// offsetPiece resolves an immediate that is an offset from the thread pointer, or the upper part of one; false: it is a number.
func (r *resolver) offsetPiece(ref *Ref, op *arch.Operand) bool {
	f := &r.d.flow
	n := f.first[r.d.partOf(r.body.Atom)] + ref.Inst
	if off, ok := f.offsets[n]; ok {
		ref.Kind, ref.Place = RefTLS, r.im.tlsPlace(off)
		ref.Place.Proven = ref.Place.Kind == PlaceTLS
		switch why := f.lost[n]; {
		case why != "":
			ref.Place = Place{Kind: PlaceUnknown, Why: why}
		case off < int64(r.im.Arch.TCB): // the thread's own data
			ref.Place = Place{Kind: PlaceNone}
		case ref.Place.Kind == PlaceNone:
			ref.Place = Place{Kind: PlaceUnknown, Why: fmt.Sprintf("thread pointer %+d is outside the program's TLS", off)}
		}
		for _, m := range f.pagesOfNumber(n) {
			r.body.Pages = append(r.body.Pages, PageUse{Ref: int32(len(r.body.Refs)), Page: f.place(m)})
		}
		return true
	}
	for top := range f.offsets {
		for _, m := range f.pagesOfNumber(top) {
			if m == n {
				ref.Kind, ref.Place = RefPage, Place{Kind: PlaceNone}
				r.judgePage(ref, top)
				return true
			}
		}
	}
	return false
}

// pagesOfNumber returns the nodes that make the upper parts of the constant that a node completes.
func (f *flow) pagesOfNumber(n int32) []int32 {
	var out []int32
	for of := f.pieces[n]; of != 0; {
		next := nodeSet(0)
		for _, m := range f.sets.sets[of] {
			out = append(out, m)
			next = f.pieces[m]
		}
		if len(out) > maxSources {
			break
		}
		of = next
	}
	return out
}

// In a program that is linked for a fixed address, a constant of 64 bits may be an address (the large code model). Compilers make numbers of as few pieces
// as they can, and addresses always of four: what is made of fewer is a number, unless the linker says otherwise.

// widePieces is how many instructions make an address that may be anywhere: one for each 16 bits (MOVW_UABS_G0 to G3).
const widePieces = 4

// isWide reports whether node n completes what may be an address.
func (f *flow) isWide(n int32) bool {
	m := f.makers[n]
	return f.wide && f.pieces[n] != 0 && f.im.contains(arch.ImageAddr(m.at)) && (f.im.HasRelocs || len(f.pagesOfNumber(n)) >= widePieces-1)
}

// wideAddress resolves a piece of what may be an address; false: it is one of a number.
func (r *resolver) wideAddress(ref *Ref, at arch.ImageAddr) bool {
	f := &r.d.flow
	n := f.first[r.d.partOf(r.body.Atom)] + ref.Inst
	if r.im.HasRelocs {
		if link, _ := r.im.linkReloc(at); link == nil {
			return false
		}
	}
	if !f.isWide(n) {
		ref.Kind, ref.Place = RefPage, Place{Kind: PlaceNone}
		return f.begins[n]
	}
	ref.Kind = RefImm
	ref.Place = r.place(arch.ImageAddr(f.makers[n].at), ref, nil)
	ref.Place.Number, ref.Place.Proven = !r.im.HasRelocs, r.im.HasRelocs
	r.judgeParked(ref, n)
	return true
}

// findBegins finds the constants of which others make what may be an address.
func (f *flow) findBegins() {
	for n := range f.pieces {
		if f.isWide(n) {
			for _, k := range f.pagesOfNumber(n) {
				f.begins[k] = true
			}
		}
	}
}
