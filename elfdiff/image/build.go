package image

import (
	"debug/elf"
	"slices"

	"hotpatch/arch"
)

// build makes the bodies of the unit out of the bytes' states.
func (d *Decoder) build() error {
	slices.Sort(d.used)
	d.learnTLS()
	for i := range d.parts {
		d.instructions(i)
	}
	for i := range d.parts {
		d.references(i)
		d.gapList(i)
	}
	if err := d.checkLargeModel(); err != nil {
		return err
	}
	for i := range d.inner {
		d.escape(&d.inner[i])
	}
	return nil
}

// instructions lists the instructions of part i, without branch targets.
func (d *Decoder) instructions(i int) {
	p := &d.parts[i]
	b := &p.body
	// The slices' memory is used again, from which nothing is left: see Body.keep.
	*b = Body{Atom: d.atoms[i], Code: p.code, Insts: b.Insts[:0], Refs: b.Refs[:0], Pages: b.Pages[:0], Gaps: b.Gaps[:0], Escapes: b.Escapes[:0],
		Indirect: b.Indirect[:0], order: b.order[:0]}
	for off := 0; off < len(p.state); off++ {
		s := p.state[off]
		if s != byteStart && s != byteUnseen {
			continue
		}
		di := &d.insts[p.at[off]]
		p.nth[off] = int32(len(b.Insts))
		b.Insts = append(b.Insts, Inst{Off: uint32(off), Target: -1, Len: uint8(di.Len), Flow: di.Flow, TLSBase: di.TLSBase, Unseen: s == byteUnseen})
		b.order = append(b.order, p.at[off])
		if next := off + 1; next < len(p.state) && p.state[next] == byteInside { // else another instruction may start behind a prefix
			off += di.Len - 1
		}
	}
	b.decoded = d.insts
}

// references fills in the rest of part i's instructions, and its references.
func (d *Decoder) references(i int) {
	p := &d.parts[i]
	b := &p.body
	r := resolver{im: d.im, d: d, body: b, part: p, tls: d.tls}
	for k := range b.Insts {
		in, di := &b.Insts[k], &d.insts[b.order[k]]
		in.Unlocked = k > 0 && in.Off < b.Insts[k-1].End()
		in.Nop = di.MayNop && di.Flow == arch.FlowNext && d.im.Arch.IsNop(p.code[in.Off:], di)
		if di.NumOps > 0 || di.BrSize > 0 || d.tls.any {
			r.inst(int32(k), in, di)
		}
		if di.Flow == arch.FlowJumpInd && !d.isTableJump(Target{b.Atom, in.Off}) {
			b.Indirect = append(b.Indirect, int32(k))
		}
	}
	if n := len(b.Insts); n > 0 {
		last := b.Insts[n-1]
		falls := last.Flow == arch.FlowNext || last.Flow == arch.FlowBranch || last.Flow == arch.FlowSyscall || last.Flow == arch.FlowCallInd
		b.Falls = falls && int(last.End()) == len(b.Code) && !last.Nop && !last.Unseen
	}
}

// maxBases bounds the addresses that 64-bit immediates of one unit are added to; a compiler uses one.
const maxBases = 64

// checkLargeModel refuses a unit that may add 64-bit distances to an address in the image, as position-independent code of the large
// and medium code models does (System V ABI for x86-64, 3.5.5: R_X86_64_GOTPC64, R_X86_64_GOTOFF64): it takes the address of its own
// code or of the GOT, and has a 64-bit immediate that leads from there into the image. Nothing tells such a distance from a number, and
// it is another one in each build.
func (d *Decoder) checkLargeModel() error {
	if d.im.Type == elf.ET_EXEC || d.atoms[0].CRT {
		return nil
	}
	var bases []arch.ImageAddr
	for i := range d.parts {
		for k := range d.parts[i].body.Refs {
			r := &d.parts[i].body.Refs[k]
			p := &r.Place
			own := p.Kind == PlaceSelf || p.Kind == PlaceAtom && p.Atom == d.atoms[0]
			if r.Kind == RefAddr && !p.ViaSlot && (own || p.Kind == PlaceLinker && p.Linker == "_GLOBAL_OFFSET_TABLE_") {
				bases = append(bases, p.Addr)
			}
		}
	}
	if len(bases) == 0 {
		return nil
	}
	slices.Sort(bases)
	bases = slices.Compact(bases)
	for i := range d.parts {
		b := &d.parts[i].body
		for k := range b.Insts {
			op := &d.insts[b.order[k]].Ops[0]
			if op.Kind != arch.OpImm || op.Size != 8 {
				continue
			}
			in, v := &b.Insts[k], arch.ImageAddr(op.Value)
			if len(bases) > maxBases || slices.ContainsFunc(bases, func(base arch.ImageAddr) bool { return d.im.contains(base + v) }) {
				return &DecodeError{Atom: b.Atom, Off: in.Off, Code: head(b.Code[in.Off:in.End()]), Msg: "a 64-bit distance of the large code model cannot be told from a number"}
			}
		}
	}
	return nil
}

// gapList lists the bytes of part i that are in no instruction.
func (d *Decoder) gapList(i int) {
	p := &d.parts[i]
	for start, end, ok := p.nextGap(0); ok; start, end, ok = p.nextGap(end) {
		p.body.Gaps = append(p.body.Gaps, Range{Off: uint32(start), Len: uint32(end - start), Padding: d.idle(p.code[start:end])})
	}
}

// idle reports whether unreached bytes are padding: what linkers and compilers fill with, or code that does nothing.
func (d *Decoder) idle(code []byte) bool {
	if d.im.Arch.Jump.IsPadding(code) {
		return true
	}
	for len(code) > 0 {
		in, err := d.im.Arch.Decode(code)
		if err != nil || !d.im.Arch.IsNop(code, &in) && in.Flow != arch.FlowStop {
			return false
		}
		code = code[in.Len:]
	}
	return true
}

// escape records an address inside the unit that is not a jump table's.
func (d *Decoder) escape(r *innerRef) {
	if r.from.Atom == nil {
		for _, t := range d.table {
			if r.data >= t.Addr && uint64(r.data-t.Addr) < t.Size {
				return
			}
		}
		if i := d.partOf(r.to.Atom); i >= 0 {
			b := &d.parts[i].body
			b.Escapes = append(b.Escapes, Escape{Target: r.to, Inst: -1, Data: r.data})
		}
		return
	}
	b := &d.parts[d.partOf(r.from.Atom)].body
	b.Escapes = append(b.Escapes, Escape{Target: r.to, Inst: int32(b.InstAt(int64(r.from.Off)))})
}

// learnTLS finds the registers that carry the thread pointer, without regard to the order of execution.
func (d *Decoder) learnTLS() {
	for changed := d.tls.any; changed; {
		changed = false
		for i := range d.parts {
			p := &d.parts[i]
			for off, s := range p.state {
				if s != byteStart && s != byteUnseen {
					continue
				}
				in := d.instAt(p, uint32(off))
				changed = d.tls.learn(d.im, d.transferOf(p.code[off:off+in.Len], in), in) || changed
			}
		}
	}
}
