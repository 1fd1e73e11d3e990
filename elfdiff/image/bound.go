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
	BoundBelow                    // used with a negative displacement: it is
)

// BoundUseAt looks at how the address is used that instruction k of a body computes. The instructions are taken in
// the order of their addresses, so that BoundCompared is evidence, not proof.
func (im *Image) BoundUseAt(b *Body, k int) BoundUse {
	lea, ok := im.operandsAt(b, k)
	if !ok || lea.twoByte || lea.opcode != 0x8d {
		return BoundNone
	}
	r, use := lea.reg, BoundNone
	for last := min(k+useWindow, len(b.Insts)-1); k < last; {
		k++
		in := &b.Insts[k]
		if (in.Flow == arch.FlowCall || in.Flow == arch.FlowCallInd) && !calleeSaved(r) {
			break
		}
		x, ok := im.operandsAt(b, k)
		if !ok {
			continue
		}
		if x.base == r && x.index < 0 && displacement(b.Code[in.Off:in.End()]) < 0 {
			return BoundBelow
		}
		if !x.twoByte && (x.reg == r || x.rm == r) && (x.rm >= 0 || x.reg == r) {
			switch x.opcode {
			case 0x39, 0x3b, 0x29, 0x2b: // cmp, sub
				use = BoundCompared
			}
		}
		if x.overwrites(r) {
			break
		}
	}
	return use
}

// NextAtom returns the first atom that starts behind an address, or nil. Thread-local ones have no address.
func (im *Image) NextAtom(addr arch.ImageAddr) *Atom {
	if i := im.index.after(addr); i < len(im.index.atoms) {
		return im.index.atoms[i]
	}
	return nil
}

// displacement returns the displacement of an instruction that has a base register and, behind the displacement, no
// immediate; 0 for others (Intel SDM vol. 2, 2.1).
func displacement(code []byte) int64 {
	i := 0
	for i < len(code) && (isLegacyPrefix(code[i]) || code[i]&0xf0 == 0x40) {
		i++
	}
	two := i < len(code) && code[i] == 0x0f
	if two {
		i++
	}
	if i+1 >= len(code) || !plainOpcode(two, code[i]) {
		return 0
	}
	n := len(code)
	switch code[i+1] >> 6 {
	case 1:
		return int64(int8(code[n-1]))
	case 2:
		if n >= 4 {
			return int64(int32(order.Uint32(code[n-4:])))
		}
	}
	return 0
}

// plainOpcode reports whether the opcode is one of the common moves and comparisons between a register and memory.
func plainOpcode(two bool, op byte) bool {
	if two {
		switch op {
		case 0x10, 0x11, 0x28, 0x29, 0x6f, 0x7f, 0xb6, 0xb7, 0xbe, 0xbf:
			return true
		}
		return false
	}
	switch op {
	case 0x88, 0x89, 0x8a, 0x8b, 0x8d, 0x63, 0x38, 0x39, 0x3a, 0x3b, 0x01, 0x03, 0x29, 0x2b:
		return true
	}
	return false
}
