package image

import (
	"fmt"
	"slices"

	"hotpatch/arch"
)

// piece resolves an operand that is a page, or is added to a register, of an architecture that makes addresses of several instructions; false: it names no
// place.
func (r *resolver) piece(ref *Ref, at arch.ImageAddr, op *arch.Operand) bool {
	f := &r.d.flow
	n := f.first[r.d.partOf(r.body.Atom)] + ref.Inst
	if op.Kind == arch.OpPage {
		ref.Kind = RefPage
		ref.Place = Place{Kind: PlaceNone}
		if m, ok := f.makers[n]; ok {
			ref.Place.Addr = arch.ImageAddr(m.at)
		}
		r.judgePage(ref, n)
		return true
	}
	var link *LinkReloc
	if r.im.HasRelocs {
		link, _ = r.im.linkReloc(at)
	}
	i, ok := slices.BinarySearchFunc(f.partners, n, func(p partner, n int32) int { return int(p.node) - int(n) })
	if !ok {
		return r.linkedPiece(ref, op, link)
	}
	p := &f.partners[i]
	first := len(r.body.Pages)
	whole := p.base.kind == valueAddress || p.base.kind == valueThread
	for _, m := range f.pagesOf(p.base.from) {
		r.body.Pages = append(r.body.Pages, PageUse{Ref: int32(len(r.body.Refs)), Page: f.place(m), Whole: whole})
	}
	switch p.base.kind {
	case valueThread, valueThreadPage:
		ok = r.threadPiece(ref, n, p, op)
	case valueBlock:
		ok = r.blockPiece(ref, p, op)
	default:
		ok = r.addressPiece(ref, n, p, op, link)
	}
	if !ok {
		r.body.Pages = r.body.Pages[:first]
	} else if op.Addr {
		r.judgeParked(ref, n)
	}
	return ok
}

// nearPage resolves an address that an instruction makes as a whole and that may be one of a page, of which others make addresses; false: it is no
// page's.
func (r *resolver) nearPage(ref *Ref, v arch.ImageAddr) bool {
	f := &r.d.flow
	n := f.first[r.d.partOf(r.body.Atom)] + ref.Inst
	if f.makers[n].kind != valuePage || !f.paged[n] {
		return false
	}
	ref.Kind, ref.Place = RefPage, Place{Kind: PlaceNone, Addr: v}
	r.judgePage(ref, n)
	return true
}

// pagesOf returns the nodes that make the pages of which the values of a set are made, and those that make them otherwise (adr).
func (f *flow) pagesOf(from nodeSet) []int32 {
	var out []int32
	work := slices.Clone(f.sets.sets[from])
	seen := slices.Clone(work)
	for len(work) > 0 {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		i, ok := slices.BinarySearchFunc(f.partners, n, func(p partner, n int32) int { return int(p.node) - int(n) })
		if !ok || f.partners[i].base.from == 0 {
			out = append(out, n)
			continue
		}
		for _, m := range f.sets.sets[f.partners[i].base.from] {
			if !slices.Contains(seen, m) {
				seen, work = append(seen, m), append(work, m)
			}
		}
	}
	slices.Sort(out)
	return out
}

// judgePage says of a reference to a page, or to what is like one, whether all uses are known.
func (r *resolver) judgePage(ref *Ref, n int32) {
	if why := r.d.flow.lost[n]; why != "" {
		ref.Place.Kind, ref.Place.Why = PlaceUnknown, "an address is made of a page: "+why
	}
}

// addressPiece resolves what is added to a page, or to an address, to make another one.
func (r *resolver) addressPiece(ref *Ref, n int32, p *partner, op *arch.Operand, link *LinkReloc) bool {
	f := &r.d.flow
	v := arch.ImageAddr(p.base.at + op.Value)
	if p.base.kind == valueAddress && r.im.within(arch.ImageAddr(p.base.at), v, uint64(op.Width)) {
		return false
	}
	ref.Kind = RefMem
	if op.Addr {
		ref.Kind = RefAddr
		_, made := f.makers[n]
		ref.Indexed = f.indexedBytes(n)
		ref.Anchor = made && f.anchored[n] && !f.escaped[n] && !f.owned[n] && !f.tabled[n]
	}
	if link != nil && link.contradicts(v) {
		ref.Place = Place{Kind: PlaceUnknown, Addr: v, Why: fmt.Sprintf("%#x is not what its relocation says", uint64(v))}
		return true
	}
	ref.Place = r.place(v, ref, link)
	switch {
	case ref.Place.Kind == PlaceTLS:
		r.im.moduleVariable(&ref.Place)
		ref.Kind = RefTLS
	case ref.Place.Kind == PlaceUnknown && r.pairs(ref):
		if both, ok := r.im.bothPlace(v, uint64(ref.Width)/2); ok {
			ref.Place = both
		}
	}
	return true
}

// pairs reports whether the instruction of a reference accesses memory with two registers.
func (r *resolver) pairs(ref *Ref) bool {
	in := r.part.at[r.body.Insts[ref.Inst].Off]
	di := &r.d.insts[in]
	t := r.d.transferOf(r.part.code[r.body.Insts[ref.Inst].Off:], di)
	return t.HasMem && t.Pair && t.Mem.Width == ref.Width
}

// bothPlace resolves an access of twice half bytes at v to two objects; false: it is none.
func (im *Image) bothPlace(v arch.ImageAddr, half uint64) (Place, bool) {
	var room [4]*Atom
	p, ok1 := holder(im.covering(room[:0], v), v, half)
	q, ok2 := holder(im.covering(room[:0], v+arch.ImageAddr(half)), v+arch.ImageAddr(half), half)
	if !ok1 || !ok2 || !p.Proven || !q.Proven || p.Atom == q.Atom {
		return Place{}, false
	}
	p.Both, p.Proven, p.Candidates = true, false, []*Atom{p.Atom, q.Atom}
	return p, true
}

// linkedPiece resolves an operand whose base is not known, by its link-time relocation.
func (r *resolver) linkedPiece(ref *Ref, op *arch.Operand, link *LinkReloc) bool {
	if link == nil || link.Kind != arch.LinkAddress || link.Form != arch.FormLow {
		return false
	}
	ref.Kind = RefMem
	if op.Addr {
		ref.Kind = RefAddr
	}
	ref.Place = r.place(link.Value+arch.ImageAddr(link.Addend), ref, link)
	return true
}

// contradicts reports whether a relocation that names an address names another one than v.
func (l *LinkReloc) contradicts(v arch.ImageAddr) bool {
	return l.Kind == arch.LinkAddress && !l.Undef && l.Value+arch.ImageAddr(l.Addend) != v
}

// threadPiece resolves what is added to the thread pointer.
func (r *resolver) threadPiece(ref *Ref, n int32, p *partner, op *arch.Operand) bool {
	f := &r.d.flow
	off := p.base.at + op.Value
	ref.Kind = RefTLS
	if m, ok := f.makers[n]; ok && op.Addr && m.kind == valueThreadPage {
		ref.Kind, ref.Place = RefPage, Place{Kind: PlaceNone}
		r.judgePage(ref, n)
		return true
	}
	if p.base.kind == valueThread && p.base.from != 0 {
		a, b := r.im.tlsPlace(p.base.at), r.im.tlsPlace(off)
		if a.Kind == b.Kind && a.Atom == b.Atom {
			return false // within the object
		}
	}
	if ref.Place = r.im.tlsPlace(off); ref.Place.Kind == PlaceTLS {
		ref.Place.Proven = true
		return true
	}
	if off < int64(r.im.Arch.TCB) { // the thread control block, and the thread's own data in front of it
		ref.Place = Place{Kind: PlaceNone}
		return true
	}
	ref.Place = Place{Kind: PlaceUnknown, Why: fmt.Sprintf("thread pointer %+d is outside the program's TLS", off)}
	return true
}

// isDescriptor reports whether a slot is the first word of a TLS descriptor.
func (im *Image) isDescriptor(slot arch.ImageAddr) bool {
	r, ok := im.DynReloc(slot)
	return ok && r.Kind == arch.DynTLSDesc
}
