package unwind

import (
	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// Where calls put the return address into a register, the code shows by itself from which word of its frame it returns. That is needed: what earlier
// frames have left in a frame, saved return addresses among it, stays there as often as not, whereas each call of x86-64 writes its own.

// framed reports whether the code of f proves its call frame information: that the CFA is where that says, at each instruction, and so is
// the return address. Looked at is each step from one instruction to the next and each branch within f: the CFA's distance from the
// stack pointer changes by as much as the stack pointer; the return address goes from its register to its word, and comes back from there; returns
// and jumps to other functions find the stack pointer and the register as they were at the entry. False: that is not shown.
//
// CFAs that are counted from another register are not followed, nor are jumps through registers or memory.
func (c *codeReader) framed(f *function) bool {
	if !c.linked() || f.fde == nil {
		return false
	}
	k := c.remember(f)
	if !k.asked {
		k.asked, k.framed = true, c.provesRows(f)
	}
	return k.framed
}

// provesRows computes framed.
func (c *codeReader) provesRows(f *function) bool {
	row, err := c.row(f, f.Start)
	if err != nil || row.CFA != f.fde.CIE.EntryCFA() || !inPlace(row.Regs[row.RA]) {
		return false
	}
	for at := f.Start; at < f.End; {
		in := &c.cur
		if *in, err = c.inst(at, f.End); err != nil || !c.tracks(&row) || !c.provesStep(f, at, in, &row) {
			return false
		}
		at += arch.Addr(in.Len)
		if at == f.End || at < arch.ImageAddr(row.End).In(c.space.Modules[f.module].Bias) {
			continue
		}
		if row, err = c.row(f, at); err != nil {
			return false
		}
	}
	return true
}

// tracks reports whether a row is of the kind that is followed.
func (c *codeReader) tracks(r *cfi.Row) bool {
	d := &c.space.Arch.DWARF
	ra := r.Regs[d.RA]
	return int(r.RA) == d.RA && r.CFA.Kind == cfi.RuleRegister && int(r.CFA.Reg) == d.SP && (inPlace(ra) || ra.Kind == cfi.RuleOffset)
}

// provesStep reports whether the rows are right where the instruction at at leads, if row, which holds there, is.
func (c *codeReader) provesStep(f *function, at arch.Addr, in *arch.Inst, row *cfi.Row) bool {
	next, target := at+arch.Addr(in.Len), at+arch.Addr(in.Target)
	there := inPlace(row.Regs[row.RA])
	switch in.Flow {
	case arch.FlowReturn:
		return !c.returnsElsewhere(f, at)
	case arch.FlowJumpInd:
		_, fixed := c.slot(at, in) // to another function
		return fixed && there && row.CFA == f.fde.CIE.EntryCFA()
	case arch.FlowJump, arch.FlowBranch:
		if f.Contains(target) && !c.sameFrame(f, target, row) || !f.Contains(target) && !(there && row.CFA == f.fde.CIE.EntryCFA()) {
			return false
		}
		return in.Flow == arch.FlowJump || c.sameFrame(f, next, row)
	case arch.FlowCall, arch.FlowCallInd: // the call changes the register; it need not come back
		return !f.Contains(next) || !there && c.sameFrame(f, next, row)
	case arch.FlowSyscall:
		return c.sameFrame(f, next, row)
	case arch.FlowStop:
		return true
	}
	after := row
	if next >= arch.ImageAddr(row.End).In(c.space.Modules[f.module].Bias) {
		r, err := c.row(f, next)
		if err != nil || !c.tracks(&r) {
			return false
		}
		after = &r
	}
	return c.movesFrame(at, in, row, after)
}

// sameFrame reports whether the frame at a is as row says.
func (c *codeReader) sameFrame(f *function, a arch.Addr, row *cfi.Row) bool {
	if !f.Contains(a) {
		return false
	}
	r, err := c.row(f, a)
	return err == nil && r.CFA == row.CFA && sameReturn(&r, row)
}

// sameReturn reports whether two rows say the same of the return address.
func sameReturn(r, s *cfi.Row) bool {
	a, b := r.Regs[r.RA], s.Regs[s.RA]
	return r.RASign == s.RASign && (a == b || inPlace(a) && inPlace(b))
}

// movesFrame reports whether the instruction at at, which goes on behind itself, makes of the frame before what after says.
func (c *codeReader) movesFrame(at arch.Addr, in *arch.Inst, before, after *cfi.Row) bool {
	sp, ra, ok := c.touches(at, in)
	if !ok {
		return false
	}
	if !sp && before.CFA == after.CFA && sameReturn(before, after) {
		return !ra || !inPlace(before.Regs[before.RA]) // a return address that is saved leaves its register free
	}
	code, err := c.mem.view(at, in.Len)
	if err != nil {
		return false
	}
	t := &c.does
	c.space.Arch.Transfer(t, code, in)
	moved, ok := c.movesSP(t, sp)
	if !ok || after.CFA.Off != before.CFA.Off-moved {
		return false
	}
	from, to := before.Regs[before.RA], after.Regs[after.RA]
	switch {
	case inPlace(from) && inPlace(to): // it may be signed on the spot
		return !ra || before.RASign != after.RASign
	case before.RASign != after.RASign:
		return false
	case inPlace(from):
		return !ra && c.accessesReturn(t, arch.TransferStore, t.Src, t.Src2, before.CFA.Off+to.Off)
	case inPlace(to):
		return c.accessesReturn(t, arch.TransferLoad, t.Dst, t.Dst2, before.CFA.Off+from.Off)
	}
	return from == to
}

// movesSP returns by how many bytes an instruction moves the stack pointer; ok is false if that is not known. writes says whether it may move it.
func (c *codeReader) movesSP(t *arch.Transfer, writes bool) (moved int64, ok bool) {
	sp := arch.Reg(c.space.Arch.DWARF.SP)
	switch {
	case !writes:
		return 0, true
	case t.WriteBack && t.Mem.Base == sp && t.Dst != sp && t.Dst2 != sp:
		return t.Step, true
	case t.Kind == arch.TransferAddress && t.Dst == sp && t.Mem.Base == sp && t.Mem.Index == arch.NoReg:
		return t.Mem.Disp, true
	}
	return 0, false
}

// accessesReturn reports whether an instruction loads or stores the register of the return address, as the first or the second of those that are given,
// at off bytes from the stack pointer.
func (c *codeReader) accessesReturn(t *arch.Transfer, kind arch.TransferKind, first, second arch.Reg, off int64) bool {
	ra, m := arch.Reg(c.space.Arch.DWARF.RA), &t.Mem
	if t.Kind != kind || t.Vector || m.Base != arch.Reg(c.space.Arch.DWARF.SP) || m.Index != arch.NoReg {
		return false
	}
	size := int64(c.space.Arch.PtrSize)
	if !t.Pair {
		return first == ra && int64(m.Width) == size && m.Disp == off
	}
	return int64(m.Width) == 2*size && (first == ra && m.Disp == off || second == ra && m.Disp+size == off)
}
