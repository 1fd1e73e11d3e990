package image

import (
	"debug/elf"
	"fmt"
	"slices"
	"sort"

	"hotpatch/arch"
)

// resolver finds out what the fields of one body's instructions name.
type resolver struct {
	im   *Image
	d    *decoder
	body *Body
	uses []*Atom // data objects of the unit
	tls  bool    // the body loads the thread pointer

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
		if r.operand(&ref, at, di, op) {
			r.body.Refs = append(r.body.Refs, ref)
		}
	}
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
			in.Target = int32(r.body.InstAt(int64(t.Off)))
			return
		}
		ref.Place = Place{Kind: PlaceSelf, Atom: t.Atom, Addend: int64(t.Off), Addr: to, Proven: true}
	} else {
		ref.Place = r.im.codePlace(to)
	}
	r.body.Refs = append(r.body.Refs, ref)
}

// codePlace resolves an address that is called or jumped to.
func (im *Image) codePlace(to arch.ImageAddr) Place {
	if imp, ok := im.stubs[to]; ok {
		return im.importPlace(imp, to, false)
	}
	for _, a := range im.Covering(to) {
		if a.IsCode() {
			return Place{Kind: PlaceAtom, Atom: a, Addend: int64(to - a.Addr), Addr: to, Proven: true}
		}
	}
	return Place{Kind: PlaceUnknown, Addr: to, Why: fmt.Sprintf("branch to %#x, which is in no function", uint64(to))}
}

// importPlace is the place of a stub or slot. A resolver's slot (IRELATIVE) stands for the IFUNC itself.
func (im *Image) importPlace(imp *Import, addr arch.ImageAddr, slot bool) Place {
	if elf.R_X86_64(imp.Type) == elf.R_X86_64_IRELATIVE {
		return Place{Kind: PlaceAtom, Atom: imp.Local, Addr: addr, ViaSlot: slot, Proven: true}
	}
	return Place{Kind: PlaceImport, Import: imp, Addr: addr, ViaSlot: slot, Proven: true}
}

// operand resolves an operand; false: it cannot name a place.
func (r *resolver) operand(ref *Ref, at arch.ImageAddr, di *arch.Inst, op *arch.Operand) bool {
	field := r.body.Atom.Addr + arch.ImageAddr(ref.Off)
	var link *LinkReloc
	if r.im.HasRelocs {
		link, _ = r.im.linkReloc(field)
	}
	if ref.Place, ref.Kind = r.tlsOperand(di, op, link); ref.Kind == RefTLS {
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
	ref.Place = r.place(v, ref, link)
	if ref.Place.Kind == PlaceTLS {
		ref.Kind = RefTLS
	}
	if link == nil && op.Kind == arch.OpImm && ref.Place.Kind != PlaceNone {
		ref.Place.Number = true
		ref.Place.Proven = false
	}
	return true
}

// place resolves the address v that a field yields.
func (r *resolver) place(v arch.ImageAddr, ref *Ref, link *LinkReloc) Place {
	if s := r.im.SectionAt(v); s != nil && isGOT(s) {
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
	var sym string
	if link != nil && !link.Section && !link.Undef {
		sym = link.Sym
	}
	if ref.Kind == RefMem && ref.Width > 0 {
		return r.im.accessPlace(v, uint64(ref.Width), sym)
	}
	return r.im.addressPlace(v, sym, r.uses)
}

// slotPlace resolves the GOT slot at v to what its content stands for.
func (im *Image) slotPlace(v arch.ImageAddr) (Place, bool) {
	if im.linkerMark(v) == "_GLOBAL_OFFSET_TABLE_" {
		return Place{Kind: PlaceLinker, Linker: "_GLOBAL_OFFSET_TABLE_", Addr: v, Proven: true}, true
	}
	if imp, ok := im.Slot(v); ok {
		p := im.importPlace(&imp, v, true)
		switch elf.R_X86_64(imp.Type) {
		case elf.R_X86_64_TPOFF64, elf.R_X86_64_DTPMOD64, elf.R_X86_64_DTPOFF64, elf.R_X86_64_TLSDESC:
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
	if word != 0 && im.Type == elf.ET_EXEC {
		if p := im.exactPlace(arch.ImageAddr(word)); p.Kind == PlaceAtom {
			p.Addr, p.ViaSlot, p.Proven = v, true, true
			return p, true
		}
	}
	if p := im.tlsPlace(int64(word)); p.Kind == PlaceTLS {
		p.Addr, p.ViaSlot = v, true
		return p, true
	}
	return Place{Kind: PlaceUnknown, Addr: v, Why: fmt.Sprintf("GOT slot %#x holds %#x", uint64(v), word)}, true
}

// localSlot resolves a slot that a relocation without a symbol fills.
func (im *Image) localSlot(r *DynReloc) (Place, bool) {
	switch elf.R_X86_64(r.Type) {
	case elf.R_X86_64_RELATIVE:
		p := im.exactPlace(arch.ImageAddr(r.Addend))
		p.Addr, p.ViaSlot = r.Addr, true
		p.Proven = p.Kind == PlaceAtom
		return p, true
	case elf.R_X86_64_TPOFF64, elf.R_X86_64_DTPOFF64, elf.R_X86_64_TLSDESC:
		a := im.TLSAt(im.TLS.Addr + arch.ImageAddr(r.Addend))
		if a == nil {
			break
		}
		return Place{Kind: PlaceTLS, Atom: a, Addend: int64(im.TLS.Addr) + r.Addend - int64(a.Addr), Addr: r.Addr, ViaSlot: true, Proven: true}, true
	case elf.R_X86_64_DTPMOD64:
		// The module's own number (local dynamic): no object yet; offsets follow in the code.
		return Place{Kind: PlaceTLS, Addr: r.Addr, ViaSlot: true, Proven: true}, true
	}
	return Place{Kind: PlaceUnknown, Addr: r.Addr, Why: fmt.Sprintf("GOT slot %#x with relocation type %d", uint64(r.Addr), r.Type)}, true
}

// exactPlace resolves an address that a GOT slot holds: the linker makes slots for symbols, so it is where one starts.
func (im *Image) exactPlace(v arch.ImageAddr) Place {
	a := im.AtomAt(v)
	if a != nil && a.Addr == v {
		return Place{Kind: PlaceAtom, Atom: a, Addr: v}
	}
	return im.addressPlace(v, "", nil)
}

// accessPlace resolves a memory access of width bytes at v.
func (im *Image) accessPlace(v arch.ImageAddr, width uint64, sym string) Place {
	for _, a := range im.Covering(v) {
		if !a.IsCode() && uint64(a.End()-v) >= width {
			return Place{Kind: PlaceAtom, Atom: a, Addend: int64(v - a.Addr), Addr: v, Proven: true}
		}
	}
	p := im.addressPlace(v, sym, nil)
	if p.Kind == PlaceAtom && p.Atom.IsCode() {
		return p // data among the code of a hand-written function
	}
	if p.Kind == PlaceAtom && sym == "" {
		return Place{Kind: PlaceUnknown, Addr: v, Why: fmt.Sprintf("access to %d bytes at %#x, which %s+%#x does not hold",
			width, uint64(v), p.Atom.Name, uint64(p.Addend))}
	}
	p.Proven = p.Proven || p.Kind == PlaceAnon && len(p.Candidates) == 0
	return p
}

// maxBefore is how many bytes in front of an object a compiler's biased base address may lie.
const maxBefore = 64

// addressPlace resolves an address that is taken, not accessed. If sym is not empty, a link-time
// relocation names it. uses are the objects that the same unit refers to as well.
func (im *Image) addressPlace(v arch.ImageAddr, sym string, uses []*Atom) Place {
	if sym != "" {
		if p, ok := im.namedPlace(v, sym); ok {
			return p
		}
	}
	p := Place{Kind: PlaceUnknown, Addr: v}
	cover := im.Covering(v)
	s := im.SectionAt(v)
	mark := im.linkerMark(v)
	switch {
	case len(cover) > 0 && cover[0].IsCode():
		return Place{Kind: PlaceAtom, Atom: cover[0], Addend: int64(v - cover[0].Addr), Addr: v, Proven: cover[0].Addr == v}
	case mark != "" && (len(cover) == 0 || isSectionMark(mark)):
		p = Place{Kind: PlaceLinker, Linker: mark, Addr: v, Proven: len(cover) == 0}
		if len(cover) > 0 {
			p.Candidates = cover[:1:1]
		}
		return p
	case len(cover) > 0:
		p = Place{Kind: PlaceAtom, Atom: cover[0], Addend: int64(v - cover[0].Addr), Addr: v}
		p.Candidates = cover[:1:1]
	case s != nil && s.Exec():
		if imp, ok := im.stubs[v]; ok {
			return im.importPlace(imp, v, false)
		}
		p.Why = fmt.Sprintf("code at %#x, which is in no function", uint64(v))
		return p
	case s != nil && !s.Writable() && !s.IsTLS() && !isGOT(s):
		p = Place{Kind: PlaceAnon, Addr: v}
	}
	im.addNeighbours(&p, uses)
	return im.settle(p, s)
}

// settle decides a place for which several or no readings were found.
func (im *Image) settle(p Place, s *Section) Place {
	if p.Kind == PlaceUnknown && len(p.Candidates) > 0 {
		p.Kind, p.Atom = PlaceAtom, p.Candidates[0]
		p.Addend = int64(p.Addr - p.Atom.Addr)
	}
	if p.Kind == PlaceAtom && len(p.Candidates) == 1 {
		p.Candidates = nil
	}
	if p.Kind != PlaceUnknown {
		return p
	}
	for _, sec := range im.Sections {
		if sec.Addr == p.Addr && !sec.IsTLS() {
			return Place{Kind: PlaceLinker, Linker: "section " + sec.Name, Addr: p.Addr}
		}
	}
	p.Why = fmt.Sprintf("%#x is in no section", uint64(p.Addr))
	if s != nil {
		p.Why = fmt.Sprintf("%#x in %s is in no object", uint64(p.Addr), s.Name)
	}
	return p
}

// namedPlace resolves an address by the symbol of its link-time relocation.
func (im *Image) namedPlace(v arch.ImageAddr, sym string) (Place, bool) {
	if isLinkerName(sym) {
		return Place{Kind: PlaceLinker, Linker: sym, Addr: v, Proven: true}, true
	}
	var best *Atom
	for _, a := range im.index.byName[sym] {
		if best == nil || distance(v, a) < distance(v, best) {
			best = a
		}
	}
	if best == nil || best.Kind == TLSObject {
		return Place{}, false
	}
	return Place{Kind: PlaceAtom, Atom: best, Addend: int64(v - best.Addr), Addr: v, Proven: true}, true
}

// distance is how far v lies outside a.
func distance(v arch.ImageAddr, a *Atom) uint64 {
	switch {
	case v < a.Addr:
		return uint64(a.Addr - v)
	case v > a.End():
		return uint64(v - a.End())
	}
	return 0
}

// addNeighbours adds the objects that end at, or start shortly behind, the place, where something speaks for them.
func (im *Image) addNeighbours(p *Place, uses []*Atom) {
	exact := p.Kind == PlaceAtom && p.Addend == 0
	for _, a := range im.EndingAt(p.Addr) {
		if !a.IsCode() && (p.Kind == PlaceUnknown || slices.Contains(uses, a)) {
			p.Candidates = append(p.Candidates, a)
		}
	}
	if exact {
		return
	}
	atoms := im.index.atoms
	for i := sort.Search(len(atoms), func(i int) bool { return atoms[i].Addr > p.Addr }); i < len(atoms); i++ {
		a := atoms[i]
		if a.Addr-p.Addr > maxBefore {
			return
		}
		if !a.IsCode() && (p.Kind == PlaceUnknown || slices.Contains(uses, a)) {
			p.Candidates = append(p.Candidates, a)
		}
	}
}
