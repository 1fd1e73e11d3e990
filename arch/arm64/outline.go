package arm64

import (
	"encoding/binary"

	"hotpatch/arch"
)

// Fields of an instruction that hold a register, as masks.
const (
	bitsRd = 0x1f
	bitsRn = 0x1f << 5
	bitsRa = 0x1f << 10 // also Rt2
	bitsRm = 0x1f << 16 // also Rs
)

// outlineMark follows the word in an outline, so that it is never the canonical bytes of another instruction.
const outlineMark = 'o'

// oneSource marks instructions that read one register as both of their sources: CINC is such a CSINC, MOV of a vector such an
// ORR.
const oneSource = 1 << 4

// Outline appends what the instruction that in describes does, without its general or vector registers and without where in the
// stack frame it does it: [arch.Arch.Outline]. That is its canonical bytes with the registers cleared, which of them have the
// number 31, and whether both sources are one: the zero register, the stack pointer and equal sources make another instruction of
// it.
func Outline(dst, code []byte, in *arch.Inst) (outline []byte, covers [2]bool) {
	w := binary.LittleEndian.Uint32(code)
	regs := registerBits(w)
	if regs == 0 {
		return Canon(dst, code, in), covers
	}
	begin := len(dst)
	dst = Canon(dst, code, in)
	canon := dst[begin:]
	binary.LittleEndian.PutUint32(canon, binary.LittleEndian.Uint32(canon)&^regs)
	var special byte // which have number 31
	for i, mask := range []uint32{bitsRd, bitsRn, bitsRa, bitsRm} {
		if regs&mask != 0 && w&mask == mask {
			special |= 1 << i
		}
	}
	if regs&bitsRm != 0 && regs&bitsRn != 0 && field(w, 5, 5) == field(w, 16, 5) {
		special |= oneSource
	}
	covers[0] = in.NumOps == 1 && in.Ops[0].Kind == arch.OpDisp && regs&bitsRn != 0 && w&bitsRn == bitsRn
	return append(dst, outlineMark, special), covers
}

// registerBits returns which fields of an instruction hold general or vector registers; 0: none, or that is not known.
func registerBits(w uint32) uint32 {
	switch op0 := w >> 25 & 15; {
	case op0&0b1110 == 0b1000:
		return immediateRegs(w)
	case op0&0b1110 == 0b1010:
		switch {
		case w&0x7c000000 == 0x34000000: // CBZ, CBNZ, TBZ, TBNZ
			return bitsRd
		case w&0xffdffc1f == 0xd61f0000 && w&0x600000 != 0x600000: // BR, BLR
			return bitsRn
		}
	case op0&0b0101 == 0b0100:
		return memoryRegs(w)
	case op0&0b0111 == 0b0101:
		return dataRegs(w)
	case op0&0b0111 == 0b0111:
		return vectorRegs(w)
	}
	return 0
}

// immediateRegs is registerBits for data processing with an immediate (Arm ARM, C4.1.65).
func immediateRegs(w uint32) uint32 {
	switch field(w, 23, 3) {
	case 0, 1, 5: // ADR; MOVZ
		return bitsRd
	case 7: // EXTR
		if field(w, 29, 2) == 0 {
			return bitsRd | bitsRn | bitsRm
		}
		return 0
	}
	return bitsRd | bitsRn
}

// dataRegs is registerBits for data processing with registers (Arm ARM, C4.1.68).
func dataRegs(w uint32) uint32 {
	const three = bitsRd | bitsRn | bitsRm
	if w>>28&1 == 0 {
		return three
	}
	switch op := field(w, 21, 4); {
	case op&8 != 0: // MADD and the like
		return three | bitsRa
	case op == 0 && field(w, 10, 6) == 0, op == 4, op == 6 && w>>30&1 == 0: // ADC; CSEL; two sources
		return three
	case op == 6: // one source
		return bitsRd | bitsRn
	case op == 2 && w>>11&1 == 0: // CCMP
		return bitsRn | bitsRm
	case op == 2:
		return bitsRn
	}
	return 0
}

// memoryRegs is registerBits for loads and stores (Arm ARM, C4.1.67).
func memoryRegs(w uint32) uint32 {
	const two = bitsRd | bitsRn
	vector := w>>26&1 == 1
	prefetch := !vector && field(w, 30, 2) == 3
	switch group := field(w, 28, 2); {
	case group == 0 && !vector && w>>24&1 == 0: // exclusive and ordered
		return two | bitsRa | bitsRm
	case group == 1 && w>>24&1 == 0: // literal; the register of PRFM says how
		if prefetch {
			return 0
		}
		return bitsRd
	case group == 1 && w>>21&1 == 0 && field(w, 10, 2) == 0 && !vector: // LDAPUR, STLUR
		return two
	case group == 2:
		return two | bitsRa
	case group != 3:
		return 0
	case prefetch && !isAtomic(w) && w>>23&1 == 1 && (w>>24&1 == 1 || w>>21&1 == 0 || field(w, 10, 2) == 2): // PRFM
		return 0
	case w>>24&1 == 0 && w>>21&1 == 1 && (isAtomic(w) || field(w, 10, 2) == 2):
		return two | bitsRm
	}
	return two
}

// vectorRegs is registerBits for floating point and those of SIMD that have three registers (Arm ARM, C4.1.69).
func vectorRegs(w uint32) uint32 {
	const three = bitsRd | bitsRn | bitsRm
	simd := w>>31 == 0 && field(w, 24, 5) == 0b01110 || w>>30 == 1 && field(w, 24, 5) == 0b11110
	switch {
	case simd && w>>21&1 == 1 && (w>>10&1 == 1 || field(w, 10, 2) == 0): // three of one kind, or of different kinds
		return three
	case w&0x5f000000 == 0x1f000000: // FMADD and the like
		return three | bitsRa
	case w&0x5f200000 != 0x1e200000:
		return 0
	}
	switch op := field(w, 10, 6); {
	case op == 0, op&0x1f == 0x10: // conversions and moves; one source
		return bitsRd | bitsRn
	case op&7 == 4: // FMOV of a number
		return bitsRd
	case op&15 == 8: // FCMP: what stands for Rd says how; with zero there is no Rm
		if w>>3&1 == 1 {
			return bitsRn
		}
		return bitsRn | bitsRm
	case op&3 == 1: // FCCMP
		return bitsRn | bitsRm
	}
	return three // two sources, FCSEL
}
