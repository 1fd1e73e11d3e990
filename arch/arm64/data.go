package arm64

import "hotpatch/arch"

// decodeReserved decodes the group op0 = 0000: UDF, and SME.
func decodeReserved(in *Inst, w uint32) bool {
	if w>>16 == 0 {
		in.Flow = arch.FlowStop
		return true
	}
	in.Writes = AllRegs
	return w>>31 == 1
}

// decodeScalable decodes SVE. What writes a general register (ADDVL, CNTB, LASTA and others) has it in Rd; there is no
// writeback.
func decodeScalable(in *Inst, w uint32) { in.Writes.add(regSP(w, 0)) }

// decodeImmediate decodes data processing with an immediate (Arm ARM, C4.1.65).
func decodeImmediate(in *Inst, w uint32) {
	rd := reg(w, 0)
	switch field(w, 23, 3) {
	case 0, 1: // ADR, ADRP
		in.Kind, in.Rd = PCRel, rd
		in.Imm = signed(w, 5, 19)<<2 | int64(field(w, 29, 2))
		if w>>31 == 1 {
			in.Kind = Page
			in.Imm <<= 12
		}
	case 2: // ADD, SUB
		if w>>29&1 == 0 {
			rd = regSP(w, 0)
			in.Kind, in.Rd, in.Rn, in.Imm = AddImm, rd, regSP(w, 5), int64(field(w, 10, 12))
			if w>>22&1 == 1 {
				in.Imm <<= 12
			}
			if w>>30&1 == 1 {
				in.Imm = -in.Imm
			}
			if w>>31 == 0 {
				in.Kind = Other // 32 bits are no address
			}
		}
	case 3: // ADDG, SUBG; SMAX and the like
		if w>>22&1 == 0 {
			rd = regSP(w, 0)
		}
	case 4: // AND, ORR, EOR; ANDS
		if field(w, 29, 2) != 3 {
			rd = regSP(w, 0)
		}
	case 7: // EXTR; AUTIASPPC and AUTIBSPPC
		if w&0xffc0001f == 0xf380001f {
			rd = LR
		}
	}
	in.Writes.add(rd)
}

// noDest are the instructions of data processing with registers that write only flags.
var noDest = [...]struct{ mask, value uint32 }{
	{0x1fe00000, 0x1a400000}, // CCMP, CCMN
	{0xffe07c10, 0xba000400}, // RMIF
	{0xffffbc1f, 0x3a00080d}, // SETF8, SETF16
}

// decodeRegister decodes data processing with registers (Arm ARM, C4.1.68).
func decodeRegister(in *Inst, w uint32) {
	for _, n := range noDest {
		if w&n.mask == n.value {
			return
		}
	}
	switch {
	case w&0x3fe00000 == 0x0b200000, // ADD, SUB (extended register)
		w&0xffe0fc00 == 0x9ac01000: // IRG
		in.Writes.add(regSP(w, 0))
	case w&0xffffcbff == 0xdac18bfe: // PACIA171615, AUTIA171615 and the like
		in.Writes.add(17)
		in.Writes.add(LR)
	default:
		in.Writes.add(reg(w, 0))
	}
}

// decodeVector decodes floating point and SIMD, of which some move to a general register (Arm ARM, C4.1.69).
func decodeVector(in *Inst, w uint32) {
	op := field(w, 16, 3)
	switch {
	case w&0xbfe0fc00 == 0x0e002c00, w&0xbfe0fc00 == 0x0e003c00: // SMOV, UMOV
	case w&0x7f20fc00 == 0x1e200000 && op != 2 && op != 3 && op != 7: // FCVTNS to FCVTZU, FMOV, FJCVTZS
	case w&0x7f200000 == 0x1e000000 && op < 2: // FCVTZS, FCVTZU (fixed point)
	default:
		return
	}
	in.Writes.add(reg(w, 0))
}
