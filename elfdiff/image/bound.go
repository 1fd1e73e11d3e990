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
	w := boundWalk{im: im, b: b, r: r, straight: true}
	for last := min(k+useWindow, len(b.Insts)-1); k < last; {
		k++
		switch b.Insts[k].Flow {
		case arch.FlowNext, arch.FlowBranch:
		case arch.FlowCall, arch.FlowCallInd:
			if !calleeSaved(w.r) {
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
	im       *Image
	b        *Body
	r        int8
	use      BoundUse
	straight bool  // no jump since the lea
	added    int64 // to the register, since the lea
}

// step takes instruction k into account; it returns true if there is nothing more to see.
func (w *boundWalk) step(k int) bool {
	in := &w.b.Insts[k]
	x, ok := w.im.operandsAt(w.b, k)
	if !ok {
		return false
	}
	r := w.r
	if w.straight && x.accesses(r) {
		w.use = BoundInside
		if int64(x.disp)+w.added < 0 {
			w.use = BoundBelow
		}
		return true
	}
	if x.base == r && x.index < 0 && !x.twoByte && x.opcode == 0x8d && int64(x.disp)+w.added < 0 {
		w.use = BoundCompared // the start by the end, or a biased base
	}
	if x.base == r && x.index >= 0 || x.index == r && x.base >= 0 {
		index := x.index + x.base - r
		switch {
		case w.straight && x.base == r && w.added <= 0 && x.disp <= 0 && (x.twoByte || x.opcode != 0x8d) && w.im.startsBelowZero(w.b, k, index):
			w.use = BoundBelow
			return true
		case w.im.mayBeNegative(w.b, k, index):
			w.use = BoundCompared
		}
	}
	if !x.twoByte && (x.reg == r || x.rm == r) && isBoundTest(x.opcode) {
		w.use = BoundCompared
	}
	if !x.changes(r) {
		return false
	}
	delta, ok := x.step(w.b.Code[in.Off:in.End()])
	w.added += delta
	return !ok
}

// mayBeNegative reports whether something suggests that the register which instruction k uses as an index is negative there: what it is made of was
// negated or subtracted, starts at a negative constant, or is counted down from zero, as far as the instructions in front show in
// the order of their addresses; or behind it the index counts up, and a conditional jump asks whether it has come to zero. It is
// evidence only.
func (im *Image) mayBeNegative(b *Body, k int, index int8) bool {
	if im.countsUpToZero(b, k, index) {
		return true
	}
	from := map[int8]bool{index: true} // registers that the index is made of
	down := false                      // one of them is counted down
	for first := max(k-useWindow, 0); k > first && len(from) > 0; {
		k--
		x, ok := im.operandsAt(b, k)
		if !ok {
			continue
		}
		code := b.Code[b.Insts[k].Off:b.Insts[k].End()]
		for r := range from {
			if !x.changes(r) {
				continue
			}
			delta, constant := x.step(code)
			down = down || constant && delta < 0 || !x.twoByte && x.opcode == 0xff && x.reg&7 == 1
			zeroed := !x.twoByte && (x.opcode == 0x31 || x.opcode == 0x33) && x.reg == x.rm
			switch {
			case x.negates(r, code), down && zeroed:
				return true
			case !x.overwrites(r): // it is made of what it was, and perhaps of more
			default:
				delete(from, r)
			}
			for _, source := range x.sources(r) {
				from[source] = true
			}
		}
	}
	return false
}

// negates reports whether the instruction gives register r a negative constant, what it has negated, or the difference from another register (Intel
// SDM vol. 2, NOT: F7 /2, NEG: F7 /3, MOV: C7 /0, OR: 83 /1 with -1, SUB: 29 /r, 2B /r, IMUL: 69, 6B by a negative constant).
func (x *x86Operands) negates(r int8, code []byte) bool {
	if !x.twoByte && x.reg != x.rm && (x.opcode == 0x29 && x.rm == r || x.opcode == 0x2b && x.reg == r) {
		return true
	}
	last := code[len(code)-1]
	if !x.twoByte && x.reg == r && (x.opcode == 0x69 || x.opcode == 0x6b) {
		return last&0x80 != 0
	}
	if x.twoByte || x.rm != r {
		return false
	}
	switch x.opcode {
	case 0xf7:
		return x.reg&6 == 2
	case 0xc7:
		return last&0x80 != 0
	case 0x83:
		return x.reg&7 == 1 && last == 0xff
	}
	return false
}

// sources returns the general registers that the new value of register r is made of, besides its old one.
func (x *x86Operands) sources(r int8) []int8 {
	var out []int8
	add := func(s int8) {
		if s >= 0 && s != r {
			out = append(out, s)
		}
	}
	switch {
	case x.twoByte && x.reg == r: // conditional and widening moves, imul
		add(x.rm)
	case x.twoByte:
	case x.opcode == 0x8d && x.reg == r: // lea
		add(x.base)
		add(x.index)
	case x.reg == r && (x.opcode == 0x8b || x.opcode == 0x63 || x.opcode == 0x6b || x.opcode == 0x69 || x.opcode == 0x03):
		add(x.rm)
	case x.rm == r && (x.opcode == 0x89 || x.opcode == 0x01):
		add(x.reg)
	}
	return out
}

// countsUpToZero reports whether the index register of instruction k is stepped up behind it, by a constant or by one, and a conditional jump that
// follows at once or behind a test of it with itself depends on whether that made it zero or left it negative.
func (im *Image) countsUpToZero(b *Body, k int, index int8) bool {
	stepped := false
	for last := min(k+useWindow, len(b.Insts)-1); k < last; {
		k++
		in := &b.Insts[k]
		x, ok := im.operandsAt(b, k)
		code := b.Code[in.Off:in.End()]
		switch {
		case in.Flow == arch.FlowBranch && stepped:
			return true
		case in.Flow != arch.FlowNext && in.Flow != arch.FlowBranch:
			return false
		case !ok || in.Flow == arch.FlowBranch:
		case !x.twoByte && x.opcode&^1 == 0x84 && x.rm == index && x.reg == index: // test
			stepped = true
			continue
		case x.changes(index):
			delta, constant := x.step(code)
			stepped = constant && delta > 0 || !x.twoByte && x.opcode == 0xff && x.reg&7 == 0
			if !stepped {
				return false
			}
			continue
		}
		if ok && in.Flow == arch.FlowNext && setsFlags(&x) {
			stepped = false
		}
	}
	return false
}

// setsFlags reports whether an instruction sets the flags, so that a conditional jump behind it does not depend on what came before: all of the
// arithmetic that compilers use, of which moves and lea leave them as they are.
func setsFlags(x *x86Operands) bool {
	if x.twoByte {
		return x.opcode == 0x2e || x.opcode == 0x2f || x.opcode == 0xaf || x.opcode&0xe7 == 0xa3 || x.opcode == 0xba
	}
	switch op := x.opcode; {
	case op < 0x40:
		return true
	case op >= 0x80 && op <= 0x85, op == 0x69, op == 0x6b:
		return true
	case op == 0xc0, op == 0xc1, op >= 0xd0 && op <= 0xd3, op == 0xf6, op == 0xf7, op == 0xfe, op == 0xff:
		return true
	}
	return false
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
