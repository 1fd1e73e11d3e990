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
// by an access through the register (for BoundBelow also with an index that starts below zero) while what was added to it since is known, on the path that falls through from the lea: C
// knows no access in front of an object, nor behind its end (C17 6.5.6). BoundCompared is evidence only: past a jump the
// instructions are taken in the order of their addresses, which need not be that of execution. What is not recognised gives
// BoundNone, which says nothing. An index that starts at a negative constant shows BoundBelow as well. Where that shows nothing, the
// paths through jumps are looked at.
func (im *Image) BoundUseAt(b *Body, k int) BoundUse {
	lea, ok := im.operandsAt(b, k)
	if !ok || lea.twoByte || lea.opcode != 0x8d {
		return BoundNone
	}
	use := im.boundInOrder(b, k, lea.reg)
	if use == BoundNone {
		use = boundPaths(b, k, lea.reg)
	}
	return use
}

// boundInOrder looks at the instructions behind k, the lea of an address into register r, in the order of their addresses.
func (im *Image) boundInOrder(b *Body, k int, r int8) BoundUse {
	use := BoundNone
	straight := true // no jump since the lea
	var added int64  // to the register, since the lea
	for last := min(k+useWindow, len(b.Insts)-1); k < last; {
		k++
		in := &b.Insts[k]
		switch in.Flow {
		case arch.FlowNext, arch.FlowBranch:
		case arch.FlowCall, arch.FlowCallInd:
			if !calleeSaved(r) {
				return use
			}
		default:
			straight = false
		}
		x, ok := im.operandsAt(b, k)
		if !ok {
			continue
		}
		if straight && x.accesses(r) {
			if int64(x.disp)+added < 0 {
				return BoundBelow
			}
			return BoundInside
		}
		if straight && x.base == r && x.index >= 0 && added <= 0 && x.disp <= 0 && im.startsBelowZero(b, k, x.index) {
			return BoundBelow
		}
		if !x.twoByte && (x.reg == r || x.rm == r) && isBoundTest(x.opcode) {
			use = BoundCompared
		}
		if !x.changes(r) {
			continue
		}
		delta, ok := x.step(b.Code[in.Off:in.End()])
		if !ok {
			break
		}
		added += delta
	}
	return use
}

// startsBelowZero reports whether the register that instruction k uses as an index gets a negative number in front of it: what is accessed
// first is then in front of the base. Compilers write loops over the whole of an array so, that end when the index is zero. The last instruction in
// front of k, by address, that changes the register counts, unless a jump that always happens or a call lies between.
func (im *Image) startsBelowZero(b *Body, k int, index int8) bool {
	for first := max(k-useWindow, 0); k > first; {
		k--
		in := &b.Insts[k]
		if in.Flow != arch.FlowNext && in.Flow != arch.FlowBranch {
			return false
		}
		x, ok := im.operandsAt(b, k)
		if !ok || !x.changes(index) {
			continue
		}
		code := b.Code[in.Off:in.End()]
		// mov imm32, r/m64, sign-extended (Intel SDM vol. 2, MOV: REX.W C7 /0).
		return !x.twoByte && x.opcode == 0xc7 && x.rm == index && code[0]&0xf8 == 0x48 &&
			x.immOff+4 == len(code) && code[len(code)-1]&0x80 != 0
	}
	return false
}

// accesses reports whether the instruction reads or writes memory at register r plus a displacement: one of the common moves
// and comparisons between a register and memory.
func (x *x86Operands) accesses(r int8) bool {
	if x.base != r || x.index >= 0 {
		return false
	}
	if x.twoByte {
		switch x.opcode {
		case 0x10, 0x11, 0x28, 0x29, 0x6f, 0x7f, 0xb6, 0xb7, 0xbe, 0xbf:
			return true
		}
		return false
	}
	switch x.opcode {
	case 0x88, 0x89, 0x8a, 0x8b, 0x63, 0x38, 0x39, 0x3a, 0x3b, 0x01, 0x03, 0x29, 0x2b, 0xc6, 0xc7:
		return true
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
