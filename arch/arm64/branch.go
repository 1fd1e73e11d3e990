package arm64

import "hotpatch/arch"

// branch is a row of the table of branches: a word with value under mask. An immediate of n bits from lo on counts
// words; an indirect branch has its register from bit 5 on.
type branch struct {
	mask, value uint32
	flow        arch.Flow
	lo, n       uint
}

// branches are the instructions that change the flow of control (Arm ARM, C4.1.66, "Branches, Exception Generating and System
// instructions"). Exceptions to EL2 and EL3, and returns from one, are not for programs.
var branches = [...]branch{
	{0xfc000000, 0x14000000, arch.FlowJump, 0, 26},   // B
	{0xfc000000, 0x94000000, arch.FlowCall, 0, 26},   // BL
	{0xff000000, 0x54000000, arch.FlowBranch, 5, 19}, // B.cond, BC.cond
	{0x7e000000, 0x34000000, arch.FlowBranch, 5, 19}, // CBZ, CBNZ
	{0x7e000000, 0x36000000, arch.FlowBranch, 5, 14}, // TBZ, TBNZ
	{0x7f80c000, 0x74000000, arch.FlowBranch, 5, 9},  // CB<cc> (register); the condition is 0xx
	{0x7fc0c000, 0x74c00000, arch.FlowBranch, 5, 9},  // or 11x
	{0xff808000, 0x74008000, arch.FlowBranch, 5, 9},  // CBB<cc>, CBH<cc>
	{0xffc08000, 0x74c08000, arch.FlowBranch, 5, 9},  //
	{0x7f804000, 0x75000000, arch.FlowBranch, 5, 9},  // CB<cc> (immediate)
	{0x7fc04000, 0x75c00000, arch.FlowBranch, 5, 9},  //

	{0xfffffc1f, 0xd61f0000, arch.FlowJumpInd, 0, 0}, // BR
	{0xfffff81f, 0xd61f081f, arch.FlowJumpInd, 0, 0}, // BRAAZ, BRABZ
	{0xfffff800, 0xd71f0800, arch.FlowJumpInd, 0, 0}, // BRAA, BRAB
	{0xfffffc1f, 0xd63f0000, arch.FlowCallInd, 0, 0}, // BLR
	{0xfffff81f, 0xd63f081f, arch.FlowCallInd, 0, 0}, // BLRAAZ, BLRABZ
	{0xfffff800, 0xd73f0800, arch.FlowCallInd, 0, 0}, // BLRAA, BLRAB
	{0xfffffc1f, 0xd65f0000, arch.FlowReturn, 0, 0},  // RET
	{0xfffffbff, 0xd65f0bff, arch.FlowReturn, 0, 0},  // RETAA, RETAB
	{0xfffffbe0, 0xd65f0be0, arch.FlowReturn, 0, 0},  // RETAASPPCR, RETABSPPCR
	{0xffc0001f, 0x5500001f, arch.FlowReturn, 0, 0},  // RETAASPPC, RETABSPPC

	{0xffe0001f, 0xd4000001, arch.FlowSyscall, 0, 0}, // SVC
	{0xffe0001f, 0xd4200000, arch.FlowStop, 0, 0},    // BRK
	{0xffe0001f, 0xd4400000, arch.FlowStop, 0, 0},    // HLT
}

func decodeBranch(in *Inst, w uint32) bool {
	for i := range branches {
		b := &branches[i]
		if w&b.mask != b.value {
			continue
		}
		in.Flow = b.flow
		switch b.flow {
		case arch.FlowJump, arch.FlowBranch, arch.FlowCall:
			in.Target = signed(w, b.lo, b.n) * InstLen
		case arch.FlowJumpInd, arch.FlowCallInd:
			in.Rn = regSP(w, 5)
		case arch.FlowReturn:
			in.Rn = LR
			if b.value == 0xd65f0000 {
				in.Rn = regSP(w, 5)
			}
		}
		switch b.flow {
		case arch.FlowCall, arch.FlowCallInd:
			in.Writes.add(LR)
		case arch.FlowSyscall:
			in.Writes.add(0)
		}
		return true
	}
	return decodeSystem(in, w)
}

// tpidr is MRS X0, TPIDR_EL0: the thread pointer.
const tpidr = 0xd53bd040

// decodeSystem decodes what is left of the branch group: hints, barriers, and accesses to system registers. They go on
// behind themselves.
func decodeSystem(in *Inst, w uint32) bool {
	switch {
	case w&0xfffff01f == 0xd503201f:
		in.Writes = hintWrites(w)
	case w&0xfffff01f == 0xd503301f: // barriers
	case w&0xffffffc0 == 0xd5031000: // WFET, WFIT
	case w&0xfff8f01f == 0xd500401f: // MSR (immediate), CFINV, XAFLAG, AXFLAG
	case w&0xffb80000 == 0xd5080000: // SYS, SYSP
	case w&0xffb00000 == 0xd5100000: // MSR (register), MSRR
	case w&0xfff80000 == 0xd5280000: // SYSL
		in.Writes.add(reg(w, 0))
	case w&0xfff00000 == 0xd5300000: // MRS
		in.Writes.add(reg(w, 0))
		if w&^0x1f == tpidr {
			in.Kind, in.Rd = ReadTP, reg(w, 0)
		}
	case w&0xfff00000 == 0xd5700000: // MRRS
		in.Writes.add(reg(w, 0))
		in.Writes.add(reg(w, 0) + 1)
	default:
		return false
	}
	return true
}

// hintWrites returns what a hint writes: those that sign or authenticate have registers of their own (Arm ARM, C6.2, PACIA, AUTIA,
// XPAC, CHKFEAT).
func hintWrites(w uint32) (r Regs) {
	switch crm, op2 := field(w, 8, 4), field(w, 5, 3); {
	case crm == 1: // PACIA1716 and the like
		r.add(17)
	case crm == 3, crm == 0 && op2 == 7: // PACIASP, PACIAZ and the like; XPACLRI
		r.add(LR)
	case crm == 5 && op2 == 0: // CHKFEAT
		r.add(16)
	}
	return r
}
