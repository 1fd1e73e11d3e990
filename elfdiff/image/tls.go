package image

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"hotpatch/arch"
)

// tlsOperand resolves an operand that is an offset from the thread pointer, or from the start of the module's block. Its kind is
// RefTLS only if it can be one.
func (r *resolver) tlsOperand(code []byte, in *arch.Inst, op *arch.Operand, link *LinkReloc) (Place, RefKind) {
	relaxed := link != nil && strings.HasPrefix(link.Sym, "__tls_get_addr")
	if link != nil && !relaxed {
		return r.linkedTLS(op, link)
	}
	switch {
	case op.Seg && (op.Kind == arch.OpAbs || op.Kind == arch.OpDisp && !r.tls.block):
		if op.Value >= 0 {
			// At and above the thread pointer is the thread's control block (the canary at 0x28).
			return Place{Kind: PlaceNone}, RefTLS
		}
		p := r.im.tlsPlace(op.Value)
		p.Proven = p.Kind == PlaceTLS
		if p.Kind == PlaceNone {
			p = Place{Kind: PlaceUnknown, Why: fmt.Sprintf("thread pointer %+d is outside the program's TLS", op.Value)}
		}
		return p, RefTLS
	case r.im.HasRelocs && !relaxed || op.Size != 4 || op.Arith || op.Kind == arch.OpPC:
		return Place{}, RefMem
	}
	// The linker turned a call of __tls_get_addr into code of its own (general dynamic to local exec); a
	// relocation of the call that was there proves it.
	if p := r.im.tlsPlace(op.Value); r.tls.any && p.Kind == PlaceTLS && (relaxed || r.tls.judge(r.im.Arch, r.d.transferOf(code, in), op, &p)) {
		p.Proven = p.Proven || relaxed
		return p, RefTLS
	}
	if p := r.im.blockPlace(op.Value); r.tls.block && p.Kind == PlaceTLS && (op.Kind == arch.OpDisp || isAdd(r.d.transferOf(code, in), op)) {
		p.Proven = op.Value <= 127
		p.Number = !p.Proven
		return p, RefTLS
	}
	return Place{}, RefMem
}

// linkedTLS resolves an operand whose link-time relocation is known.
func (r *resolver) linkedTLS(op *arch.Operand, link *LinkReloc) (Place, RefKind) {
	switch link.Kind {
	case arch.LinkTPOff, arch.LinkDTPOff:
		return r.im.tlsNamed(link, op.Value), RefTLS
	case arch.LinkTPOffSlot, arch.LinkTLSPair, arch.LinkTLSDesc:
		// The linker relaxed the access to local exec, but kept the type.
		if op.Kind != arch.OpPC {
			return r.im.tlsNamed(link, op.Value), RefTLS
		}
	}
	return Place{}, RefMem
}

// tlsUse says how a unit computes addresses of thread-local objects.
type tlsUse struct {
	any   bool      // it loads the thread pointer, or uses its segment with a register
	block bool      // it asks for the module's block (local dynamic)
	regs  arch.Regs // general registers that may hold the thread pointer or something computed from it, at some point
	slots []tlsSlot // of the frame, into which such a register is spilled
	live  arch.Regs // registers that hold it, as far as a straight reading of the code up to here shows
}

// tlsSlot is a stack slot: a displacement from a register.
type tlsSlot struct {
	base arch.Reg
	disp int64
}

// step follows one instruction in the order of addresses.
func (u *tlsUse) step(d *Decoder, code []byte, in *arch.Inst) {
	if !u.any {
		return
	}
	switch in.Flow {
	case arch.FlowJump, arch.FlowJumpInd, arch.FlowReturn, arch.FlowStop:
		u.live = 0
		return
	case arch.FlowCall, arch.FlowCallInd:
		u.live &^= arch.Regs(d.im.Arch.Call.Scratch)
		return
	}
	from := tlsUse{regs: u.live, slots: u.slots}
	t := d.transferOf(code, in)
	if !t.Writes.Has(t.Mem.Base) && overwrites(t, t.Dst) {
		u.live &^= t.Dst.Bit()
	}
	if from.learn(d.im, t, in) {
		u.live |= from.regs
	}
}

// transferOf describes the first instruction of code. The answer is valid until the next one.
func (d *Decoder) transferOf(code []byte, in *arch.Inst) *arch.Transfer {
	d.im.Arch.Transfer(&d.transfer, code, in)
	return &d.transfer
}

// learn adds the registers that one instruction makes depend on the thread pointer. It reports whether there is a new one.
func (u *tlsUse) learn(im *Image, t *arch.Transfer, in *arch.Inst) bool {
	offset := in.NumOps > 0 && im.tlsPlace(in.Ops[0].Value).Kind == PlaceTLS
	m, makes := &t.Mem, false
	switch t.Kind {
	case arch.TransferMove:
		makes = u.has(t.Src) && t.Part.Bits == 0
	case arch.TransferLoad:
		makes = in.TLSBase || m.Seg && m.Width >= minWord || slices.Contains(u.slots, tlsSlot{m.Base, m.Disp})
	case arch.TransferArith:
		makes = in.TLSMem && m.Base < 0 && m.Index < 0 // add %fs:0
	case arch.TransferAddress:
		makes = u.has(m.Base) || u.has(m.Index) || offset && in.Ops[0].Kind == arch.OpAbs
	case arch.TransferConst:
		makes = offset && t.Imm == in.Ops[0].Value // mov $tpoff
	case arch.TransferStore:
		slot := tlsSlot{m.Base, m.Disp} // spill
		if !u.has(t.Src) || !inFrame(im.Arch, t) || m.Index >= 0 || slices.Contains(u.slots, slot) {
			return false
		}
		u.slots = append(u.slots, slot)
		return true
	}
	if !makes || t.Dst < 0 || u.has(t.Dst) {
		return false
	}
	u.regs |= t.Dst.Bit()
	return true
}

func (u *tlsUse) has(r arch.Reg) bool { return u.regs.Has(r) }

// judge reports whether a field that could be an offset from the thread pointer is one, as far as the registers beside it
// say. An assembler spells a small displacement or addend in one byte, so that four bytes for one are a relocation's; other numbers stay in doubt.
func (u *tlsUse) judge(a *arch.Arch, t *arch.Transfer, op *arch.Operand, p *Place) bool {
	short := op.Value >= -128
	related := false
	switch op.Kind {
	case arch.OpAbs: // lea tpoff, %reg
		related, short = op.Addr, true
	case arch.OpDisp:
		related = u.has(t.Mem.Base) || u.has(t.Mem.Index)
	case arch.OpImm: // mov $tpoff, %reg and add $tpoff, %reg
		mov := t.Kind == arch.TransferConst && t.Imm == op.Value
		related = u.has(t.Dst) && (mov || isAdd(t, op))
		short = short && !mov
	}
	if !related && (op.Kind != arch.OpDisp || inFrame(a, t) || !short) {
		return false
	}
	now := tlsUse{regs: u.live}
	p.Proven = related && (short || now.has(t.Mem.Base) || now.has(t.Mem.Index) || now.has(t.Dst))
	p.Number = !p.Proven
	return true
}

// isAdd reports whether the instruction adds its immediate to a register.
func isAdd(t *arch.Transfer, op *arch.Operand) bool {
	return inPlace(t) && t.Mem.Index < 0 && t.Mem.Disp == op.Value
}

// blockPlace resolves an offset in the module's TLS block.
func (im *Image) blockPlace(off int64) Place {
	if off < 0 || uint64(off) >= im.TLS.MemSize {
		return Place{}
	}
	at := im.TLS.Addr + arch.ImageAddr(off)
	if a := im.TLSAt(at); a != nil {
		return Place{Kind: PlaceTLS, Atom: a, Addend: int64(at - a.Addr)}
	}
	return Place{}
}

// tlsNamed resolves a thread-local reference whose symbol a link-time relocation names.
func (im *Image) tlsNamed(l *LinkReloc, v int64) Place {
	for a := range im.index.names.named(l.Sym) {
		if a.Kind == TLSObject && (a.Addr == im.TLS.Addr+l.Value || a.Addr == l.Value) {
			return Place{Kind: PlaceTLS, Atom: a, Addend: l.Addend + int64(l.Behind), Proven: true}
		}
	}
	p := im.tlsPlace(v)
	p.Proven = p.Kind == PlaceTLS
	return p
}

// tlsPlace resolves an offset from the thread pointer. Only of a program is it known where its block is: it begins behind the thread control block,
// or it ends at the thread pointer, so that the offsets of its objects are negative ("ELF Handling For Thread-Local Storage", variants I and II).
func (im *Image) tlsPlace(off int64) Place {
	size := int64(alignUp(im.TLS.MemSize, im.TLS.Align))
	start := -size // of the block, from the thread pointer
	if tcb := im.Arch.TCB; tcb > 0 {
		start = int64(alignUp(uint64(tcb), im.TLS.Align))
	}
	if off < start || off-start >= size || size == 0 || im.Type == elf.ET_DYN && !im.PIE && len(im.Needed) > 0 {
		return Place{}
	}
	at := im.TLS.Addr + arch.ImageAddr(off-start)
	a := im.TLSAt(at)
	if a == nil {
		return Place{}
	}
	return Place{Kind: PlaceTLS, Atom: a, Addend: int64(at - a.Addr)}
}
