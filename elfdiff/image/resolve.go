package image

import (
	"fmt"
	"slices"

	"hotpatch/arch"
)

// resolver finds out what the fields of one body's instructions name.
type resolver struct {
	im   *Image
	d    *Decoder
	body *Body
	part *part
	tls  tlsUse
}

// inst adds the references of one instruction.
func (r *resolver) inst(k int32, in *Inst, di *arch.Inst) {
	at := r.body.Atom.Addr + arch.ImageAddr(in.Off)
	if di.BrSize > 0 {
		r.branch(k, in, di, at)
	}
	first := len(r.body.Refs)
	for i := range di.NumOps {
		op := &di.Ops[i]
		ref := Ref{Inst: k, Off: in.Off + uint32(op.Off), Size: op.Size, Width: op.Width, Op: uint8(i)}
		if !r.operand(&ref, at, di, op) {
			continue
		}
		if in.Unlocked {
			ref.Kind = RefMem
			ref.Place = Place{Kind: PlaceSelf, Atom: r.body.Atom, Addend: int64(in.Off) - 1, Addr: at - 1, Proven: true}
		}
		r.body.Refs = append(r.body.Refs, ref)
	}
	r.tls.step(r.d, r.body.Code[in.Off:in.End()], di)
	added := r.body.Refs[first:]
	if len(added) == 2 && added[0].Off > added[1].Off {
		added[0], added[1] = added[1], added[0]
	}
}

// branch resolves the target of a direct branch.
func (r *resolver) branch(k int32, in *Inst, di *arch.Inst, at arch.ImageAddr) {
	to := at + arch.ImageAddr(di.Target)
	ref := Ref{Inst: k, Off: in.Off + uint32(di.BrOff), Size: di.BrSize, Kind: RefJump, Op: BranchField}
	if di.Flow == arch.FlowCall {
		ref.Kind = RefCall
	}
	a := r.body.Atom
	if t, _, ok := r.d.locate(to); ok {
		entry := t.Off == 0 && t.Atom == r.d.atoms[0]
		if t.Atom == a && !(ref.Kind == RefCall && entry) {
			in.Target = r.part.indexAt(t.Off)
			return
		}
		ref.Place = Place{Kind: PlaceSelf, Atom: t.Atom, Addend: int64(t.Off), Addr: to, Proven: true}
	} else {
		ref.Place = r.im.codePlace(to)
		if ref.Place.Kind == PlaceUnknown && to == a.End() {
			ref.Place = Place{Kind: PlaceLinker, Linker: OwnEnd, Addr: to, Proven: true}
		}
	}
	r.body.Refs = append(r.body.Refs, ref)
}

// indexAt returns the index in body.Insts of the instruction that starts at off, or -1, as Body.InstAt does.
func (p *part) indexAt(off uint32) int32 {
	if s := p.state[off]; s != byteStart && s != byteUnseen {
		return -1
	}
	return p.nth[off]
}

// codePlace resolves an address that is called or jumped to.
func (im *Image) codePlace(to arch.ImageAddr) Place {
	if imp := im.stubAt(to); imp != nil {
		return im.importPlace(imp, to, false)
	}
	var room [4]*Atom
	for _, a := range im.covering(room[:0], to) {
		if a.IsCode() {
			return Place{Kind: PlaceAtom, Atom: a, Addend: int64(to - a.Addr), Addr: to, Proven: true}
		}
	}
	if to == 0 {
		return nullPlace(to, false)
	}
	return Place{Kind: PlaceUnknown, Addr: to, Why: fmt.Sprintf("branch to %#x, which is in no function", uint64(to))}
}

// importPlace is the place of a stub or slot. A resolver's slot (IRELATIVE) stands for the IFUNC itself.
func (im *Image) importPlace(imp *Import, addr arch.ImageAddr, slot bool) Place {
	if imp.Kind == arch.DynIRelative {
		return Place{Kind: PlaceAtom, Atom: imp.Local, Addr: addr, ViaSlot: slot, Proven: true}
	}
	return Place{Kind: PlaceImport, Import: imp, Addr: addr, ViaSlot: slot, Proven: true}
}

// operand resolves an operand; false: it cannot name a place.
func (r *resolver) operand(ref *Ref, at arch.ImageAddr, di *arch.Inst, op *arch.Operand) bool {
	if r.im.Arch.Pieces != nil && (op.Kind == arch.OpPage || op.Kind == arch.OpDisp) {
		return r.piece(ref, at, op)
	}
	if r.im.Arch.Pieces != nil && op.Kind == arch.OpImm {
		return len(r.d.flow.offsets) > 0 && r.offsetPiece(ref, op) || len(r.d.flow.pieces) > 0 && r.wideAddress(ref, at)
	}
	field := r.body.Atom.Addr + arch.ImageAddr(ref.Off)
	var link *LinkReloc
	if r.im.HasRelocs {
		link, _ = r.im.linkReloc(field)
	}
	code := r.body.Code[at-r.body.Atom.Addr:]
	if ref.Place, ref.Kind = r.tlsOperand(code[:di.Len], di, op, link); ref.Kind == RefTLS {
		return true
	}
	v, ok := r.im.opAddress(at, op)
	if !ok || r.im.HasRelocs && link == nil && op.Kind != arch.OpPC {
		return false
	}
	switch {
	case op.Kind == arch.OpPC && op.Addr:
		ref.Kind = RefAddr
	case op.Kind == arch.OpPC || op.Kind == arch.OpAbs && !op.Addr:
		ref.Kind = RefMem
	default:
		ref.Kind = RefImm
	}
	if ref.Kind == RefAddr && r.im.Arch.Pieces != nil && r.nearPage(ref, v) {
		return true
	}
	ref.Place = r.place(v, ref, link)
	if ref.Kind == RefAddr && r.im.Arch.Pieces != nil {
		n := r.d.flow.first[r.d.partOf(r.body.Atom)] + ref.Inst
		ref.Indexed = r.d.flow.indexedBytes(n)
		r.judgeParked(ref, n)
	}
	if ref.Place.Kind == PlaceTLS {
		r.im.generalDynamic(&ref.Place, code)
		ref.Kind = RefTLS
	}
	if link == nil && (op.Kind == arch.OpImm || op.Kind == arch.OpDisp) && ref.Place.Kind != PlaceNone && ref.Place.Kind != PlaceTable {
		ref.Place.Number = true
		ref.Place.Proven = false
	}
	return true
}

// place resolves the address v that a field yields.
func (r *resolver) place(v arch.ImageAddr, ref *Ref, link *LinkReloc) Place {
	if s := r.im.SectionAt(v); s != nil && isGOT(s) && (ref.Kind != RefAddr || !isBoundMark(r.im.linkerMark(v))) {
		if p, ok := r.im.slotPlace(v); ok {
			return p
		}
	}
	if t := r.d.tableAt(v); t != nil {
		t.Refs = append(t.Refs, int32(len(r.body.Refs)))
		if !slices.Contains(r.body.Tables, t) {
			r.body.Tables = append(r.body.Tables, t)
		}
		return Place{Kind: PlaceTable, Addr: v, Proven: true}
	}
	if t, k, ok := r.d.locate(v); ok && (k > 0 || t.Off > 0) {
		return Place{Kind: PlaceSelf, Atom: t.Atom, Addend: int64(t.Off), Addr: v, Proven: true}
	}
	if why := r.outside(v, link); why != "" {
		return Place{Kind: PlaceUnknown, Addr: v, Why: why}
	}
	var sym string
	if link != nil && !link.Section && !link.Undef {
		sym = link.Sym
	}
	c := evidence{used: r.d.used, crt: r.body.Atom.CRT, code: true}
	if ref.Kind == RefMem && ref.Width > 0 {
		return r.im.accessPlace(v, uint64(ref.Width), sym, &c)
	}
	if ref.Kind == RefAddr {
		c.use = func() pointerUse {
			if r.im.Arch.Pieces != nil {
				return r.d.flow.pointerUse(r.d.flow.first[r.d.partOf(r.body.Atom)] + ref.Inst)
			}
			return r.d.pointerUse(r.part, r.body.Insts[ref.Inst].Off)
		}
	}
	return r.im.addressPlace(v, sym, &c)
}

// outside says why an address is known to lie outside of what the code means by it, or returns "": the relocation names another section, or it
// is in a table that unwinders read and code does not. An index that counts from below or above what it indexes leads there; what the linker
// happened to place there means nothing.
func (r *resolver) outside(v arch.ImageAddr, link *LinkReloc) string {
	s := r.im.SectionAt(v)
	if link != nil {
		if link.Sym != "" || !link.Section || link.TLS || link.Undef {
			return ""
		}
		if of := r.im.SectionAt(link.Value); of != nil && of != s && (v < of.Addr || v > of.End()) {
			return fmt.Sprintf("its relocation counts from section %s, in which %#x is not", of.Name, uint64(v))
		}
		return ""
	}
	if s == nil || r.body.Atom.CRT || v == s.Addr || r.im.AtomAt(v) != nil {
		return ""
	}
	switch s.Name {
	case ".eh_frame_hdr", ".eh_frame", ".gcc_except_table":
		return fmt.Sprintf("%#x is in %s, to which code does not refer", uint64(v), s.Name)
	}
	return ""
}
