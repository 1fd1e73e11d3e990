package arm64

import (
	"encoding/binary"

	"hotpatch/arch"
)

// Canon appends the canonical bytes of the instruction that in describes: its word with the bits of the operand and of the branch
// displacement cleared ([arch.Arch.Canon]). No prefix and no second encoding of one branch exists: a compiler that cannot reach
// with TBZ emits TBNZ over a B, which are other instructions.
func Canon(dst, code []byte, in *arch.Inst) []byte {
	w := binary.LittleEndian.Uint32(code)
	switch {
	case in.BrSize != 0:
		w &^= branchBits(w)
	case in.NumOps != 0:
		d := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
		decode(&d, w)
		w &^= operandBits(&d, w)
	}
	return binary.LittleEndian.AppendUint32(dst, w)
}

// branchBits returns which bits of a direct branch hold its displacement.
//
// Preconditions: w is a direct branch.
func branchBits(w uint32) uint32 {
	switch {
	case w&0x7c000000 == 0x14000000: // B, BL
		return bitsImm26
	case w&0x7e000000 == 0x36000000: // TBZ, TBNZ
		return bitsImm14
	case w&0x7e000000 == 0x74000000: // CB<cc>
		return bitsImm9B
	}
	return bitsImm19 // B.cond, CBZ, CBNZ
}

// isDirect reports whether an instruction with that flow has a displacement.
func isDirect(f arch.Flow) bool {
	return f == arch.FlowJump || f == arch.FlowBranch || f == arch.FlowCall
}
