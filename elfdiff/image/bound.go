package image

import (
	"hotpatch/arch"
)

// A function can use the address behind an array without naming the array: it counts down from there, or it only
// compares with it. What lies at that address then has nothing to do with it (HAZARDS D17).

// BoundUse is what the code behind a lea shows about the address being the end of what lies in front.
type BoundUse uint8

const (
	BoundNone     BoundUse = iota // nothing
	BoundCompared                 // compared with, or subtracted from, another register: it may be
	BoundBelow                    // memory below it is accessed: it is
	BoundInside                   // memory at or above it is accessed: it is not
)

// BoundUseAt looks at how the address is used that instruction k of a body computes. BoundBelow and BoundInside are shown
// by an access through the register (for BoundBelow also with an index that starts below zero) while what was added to it since
// is known, on the path that falls through from the lea: C knows no access in front of an object, nor behind its end (C17 6.5.6).
// BoundCompared is evidence only: past a jump the instructions are taken in the order of their addresses, which need not be that
// of execution. What is not recognised gives BoundNone, which says nothing. An index that starts at a negative constant shows
// BoundBelow as well. Where that shows nothing, the paths through jumps are looked at.
func (im *Image) BoundUseAt(b *Body, k int) BoundUse {
	s := &transfers{a: im.Arch, b: b}
	lea := s.at(k)
	if lea.Kind != arch.TransferAddress || inPlace(lea) && im.Arch.Pieces == nil { // of several instructions, the last may add to its own register
		return BoundNone
	}
	r := lea.Dst
	use := s.boundInOrder(k, r)
	if use == BoundNone {
		use = s.boundPaths(k, r)
	}
	return use
}

// boundInOrder looks at the instructions behind k, the lea of an address into register r, in the order of their addresses.
func (s *transfers) boundInOrder(k int, r arch.Reg) BoundUse {
	b := s.b
	w := boundWalk{transfers: s, r: r, straight: true}
	for last := min(k+useWindow, len(b.Insts)-1); k < last; {
		k++
		switch b.Insts[k].Flow {
		case arch.FlowNext, arch.FlowBranch:
		case arch.FlowCall, arch.FlowCallInd:
			if !calleeSaved(s.a, w.r) {
				return w.use
			}
		default:
			w.straight = false
		}
		if w.step(k) {
			break
		}
	}
	return w.use
}

// boundWalk follows the register that a lea put an address into.
type boundWalk struct {
	*transfers
	r        arch.Reg
	use      BoundUse
	straight bool  // no jump since the lea
	added    int64 // to the register, since the lea
}

// step takes instruction k into account; it returns true if there is nothing more to see.
func (w *boundWalk) step(k int) bool {
	t, r := w.at(k), w.r
	m := t.Mem
	if w.straight && accesses(t, r) {
		w.use = BoundInside
		if m.Disp+w.added < 0 {
			w.use = BoundBelow
		}
		return true
	}
	based, place := (m.Base == r || m.Index == r) && !inPlace(t), t.Kind == arch.TransferAddress
	if based && m.Index < 0 && place && m.Disp+w.added < 0 {
		w.use = BoundCompared // the start by the end, or a biased base
	}
	if comparesRegisters(t, r) {
		w.use = BoundCompared
	}
	delta, ok := step(t, r)
	changes := t.Writes.Has(r)
	if based && m.Index >= 0 && m.Base >= 0 {
		index := m.Index + m.Base - r
		switch {
		case w.straight && m.Base == r && w.added <= 0 && m.Disp <= 0 && !place && w.startsBelowZero(k, index):
			w.use = BoundBelow
			return true
		case w.mayBeNegative(k, index):
			w.use = BoundCompared
		}
	}
	w.added += delta
	return changes && !ok
}

// mayBeNegative reports whether something suggests that the register which instruction k uses as an index is negative there: what it is made of was
// negated or subtracted, starts at a negative constant, or is counted down from zero, as far as the instructions in front show in
// the order of their addresses; or behind it the index counts up, and a conditional jump asks whether it has come to zero. It is
// evidence only.
func (s *transfers) mayBeNegative(k int, index arch.Reg) bool {
	if s.countsUpToZero(k, index) {
		return true
	}
	from := index.Bit() // registers that the index is made of
	down := false       // one of them is counted down
	for first := max(k-useWindow, 0); k > first && from != 0; {
		k--
		t := s.at(k)
		for r := arch.Reg(0); r < maxRegs; r++ {
			if !from.Has(r) || !t.Writes.Has(r) {
				continue
			}
			delta, constant := step(t, r)
			down = down || constant && delta < 0
			if negates(t, r) || down && t.Kind == arch.TransferConst && t.Imm == 0 {
				return true
			}
			if overwrites(t, r) { // else it is made of what it was, and perhaps of more
				from &^= r.Bit()
			}
			from |= sources(t) &^ r.Bit()
		}
	}
	return false
}

// negates reports whether the instruction gives register r a negative constant, what it has negated, or the difference from another register.
func negates(t *arch.Transfer, r arch.Reg) bool {
	if t.Dst != r {
		return false
	}
	switch t.Kind {
	case arch.TransferCompare:
		return !t.HasImm && t.Src != t.Src2
	case arch.TransferConst:
		return t.Imm < 0 || t.Imm>>31 == 1
	case arch.TransferInsert:
		return t.Negates || t.Mask != 0 && (t.Imm < 0 || t.Imm>>31 == 1) // the last piece of a constant
	case arch.TransferAddress:
		return t.Mem.Minus
	}
	return t.Negates
}

// sources returns the general registers that the new value of the destination is made of.
func sources(t *arch.Transfer) arch.Regs {
	switch t.Kind {
	case arch.TransferMove, arch.TransferSelect, arch.TransferArith:
		return t.Src.Bit() | t.Src2.Bit()
	case arch.TransferAddress:
		return t.Mem.Base.Bit() | t.Mem.Index.Bit()
	}
	return 0
}

// countsUpToZero reports whether the index register of instruction k is stepped up behind it, by a constant or by one, and a conditional jump that
// follows at once or behind a test of it with itself depends on whether that made it zero or left it negative.
func (s *transfers) countsUpToZero(k int, index arch.Reg) bool {
	stepped, up := false, false // up: stepped shows it, unless the flags have changed since
	for last := min(k+useWindow, len(s.b.Insts)-1); k < last; {
		k++
		in := &s.b.Insts[k]
		switch in.Flow {
		case arch.FlowNext:
		case arch.FlowBranch:
			if stepped || up && s.at(k).Src == index {
				return true
			}
			continue
		default:
			return false
		}
		t := s.at(k)
		switch delta, constant := step(t, index); {
		case testsZero(t, index):
			stepped = true
		case t.Writes.Has(index):
			stepped = constant && delta > 0
			if up = stepped; !up {
				return false
			}
		case t.Flags:
			stepped = false
		}
	}
	return false
}

// testsZero reports whether the instruction sets the flags by register r alone.
func testsZero(t *arch.Transfer, r arch.Reg) bool {
	switch {
	case t.Dst >= 0 || t.Src != r || t.HasMem:
		return false
	case t.Kind == arch.TransferCompare:
		return t.HasImm && t.Imm == 0
	}
	return t.Kind == arch.TransferArith && t.Flags && t.Src2 == r
}

// startsBelowZero reports whether the register that instruction k uses as an index gets a negative number in front of it: what is accessed
// first is then in front of the base. Compilers write loops over the whole of an array so, that end when the index is zero. The last instruction in
// front of k, by address, that changes the register counts, unless a jump that always happens or a call lies between.
func (s *transfers) startsBelowZero(k int, index arch.Reg) bool {
	for first := max(k-useWindow, 0); k > first; {
		k--
		in := &s.b.Insts[k]
		if in.Flow != arch.FlowNext && in.Flow != arch.FlowBranch {
			return false
		}
		if t := s.at(k); t.Writes.Has(index) {
			return t.Kind == arch.TransferConst && t.Dst == index && t.Wide && t.Imm < 0
		}
	}
	return false
}

// NextAtom returns the first atom that starts behind an address, or nil. Thread-local ones have no address.
func (im *Image) NextAtom(addr arch.ImageAddr) *Atom {
	if i := im.index.after(addr); i < len(im.index.atoms) {
		return im.index.atoms[i]
	}
	return nil
}
