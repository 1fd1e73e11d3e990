package image

import "hotpatch/arch"

// transfers tells what the instructions of a body do with registers.
type transfers struct {
	a  *arch.Arch
	b  *Body
	in arch.Inst
	t  arch.Transfer
}

// at describes instruction k. The answer is valid until the next one.
func (s *transfers) at(k int) *arch.Transfer {
	in := &s.b.Insts[k]
	s.in.Len, s.in.Flow = int(in.Len), in.Flow
	s.a.Transfer(&s.t, s.b.Code[in.Off:in.End()], &s.in)
	return &s.t
}

// step returns what the instruction adds to register r, if it adds or subtracts a constant.
func step(t *arch.Transfer, r arch.Reg) (delta int64, ok bool) {
	switch {
	case t.Dst != r:
	case inPlace(t) && t.Mem.Index < 0:
		return t.Mem.Disp, true
	case !t.Adds || t.Src != r:
	case t.Kind == arch.TransferCompare: // and the difference is kept
		return -t.Imm, true
	default:
		return t.Imm, true
	}
	return 0, false
}

// inPlace reports whether the instruction adds something to a register: that is no use of it as a base.
func inPlace(t *arch.Transfer) bool {
	return t.Kind == arch.TransferAddress && t.Dst >= 0 && t.Dst == t.Mem.Base
}

// overwrites reports whether the instruction gives register r a new value that does not depend on the old one.
func overwrites(t *arch.Transfer, r arch.Reg) bool {
	switch t.Kind {
	case arch.TransferMove, arch.TransferConst, arch.TransferAddress, arch.TransferLoad:
		return t.Writes.Has(r) && t.Src != r && t.Mem.Base != r && t.Mem.Index != r
	}
	return false
}

// moved reports whether the instruction puts the whole value of a register into another one.
func moved(t *arch.Transfer) bool {
	return t.Kind == arch.TransferMove && t.Wide && t.Part.Bits == 0 && t.Src >= 0 && t.Dst >= 0
}

// accesses reports whether the instruction reads or writes memory at register r plus a displacement.
func accesses(t *arch.Transfer, r arch.Reg) bool {
	return t.HasMem && t.Kind != arch.TransferOther && (t.Mem.Load || t.Mem.Store) && t.Mem.Base == r && t.Mem.Index < 0
}

// comparesRegisters reports whether the instruction compares register r with another one or with memory, or subtracts one from the other.
func comparesRegisters(t *arch.Transfer, r arch.Reg) bool {
	if t.Kind == arch.TransferAddress && t.Mem.Minus {
		return t.Mem.Base == r || t.Mem.Index == r
	}
	return t.Kind == arch.TransferCompare && !t.HasImm && (t.Src == r || t.Src2 == r)
}

// calleeSaved reports whether the ABI preserves the general register across calls.
func calleeSaved(a *arch.Arch, r arch.Reg) bool { return r >= 0 && !a.Call.Scratch.Has(int(r)) }

// inFrame reports whether the operand in memory is a slot of the stack frame, by the register that it counts from.
func inFrame(a *arch.Arch, t *arch.Transfer) bool {
	return t.HasMem && (t.Mem.Base == a.Call.SP || t.Mem.Base == a.Call.FP)
}
