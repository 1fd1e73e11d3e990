package arm64

import (
	"encoding/binary"
	"math/bits"

	"hotpatch/arch"
)

// pieces: ADRP and the instructions that add to the page's address.
var pieces = arch.Pieces{
	SP:      SP,
	Saved:   0x3ff8_0000 | 1<<SP, // x19 to x29
	Args:    0x1ff,
	Results: 1<<0 | 1<<1,
	Veneers: 1<<16 | 1<<17,
	TPPage:  4096,
}

// Transfer says what the first instruction of code does with the values in general registers: [arch.Arch.Transfer]. Of instructions that the
// tables do not know in detail, it may be any.
func Transfer(t *arch.Transfer, code []byte, in *arch.Inst) {
	*t = arch.Transfer{Dst: arch.NoReg, Dst2: arch.NoReg, Src: arch.NoReg, Src2: arch.NoReg}
	t.Mem.Base, t.Mem.Index = arch.NoReg, arch.NoReg
	if len(code) < InstLen {
		t.Writes, t.Reads = arch.Regs(AllRegs), arch.Regs(AllRegs)
		return
	}
	w := binary.LittleEndian.Uint32(code)
	d := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	if !decode(&d, w) {
		t.Writes, t.Reads = arch.Regs(AllRegs), arch.Regs(AllRegs)
		return
	}
	t.Writes = arch.Regs(d.Writes)
	switch op0 := w >> 25 & 15; {
	case op0&0b1110 == 0b1000:
		transferImmediate(t, w)
	case op0&0b1110 == 0b1010:
		transferBranch(t, &d, w)
	case op0&0b0101 == 0b0100:
		transferMemory(t, &d, w)
	case op0&0b0111 == 0b0101:
		transferRegister(t, w)
	case op0&0b0111 == 0b0111:
		transferVector(t, &d, w)
	case w>>16 == 0: // UDF
		t.Kind = arch.TransferNone
	case w&0xff30fc00 == 0x0420e000: // CNTB, CNTH, CNTW, CNTD
		arith(t, xreg(w, 0), arch.NoReg, arch.NoReg)
	case w&0xff3ee000 == 0x0520a000: // LASTA, LASTB to a general register
		arith(t, xreg(w, 0), arch.NoReg, arch.NoReg)
		t.Vector, t.Wide = true, w>>22&3 == 3
	default: // SVE, SME
		t.Reads, t.Flags = arch.Regs(AllRegs), true
	}
}

// xreg is reg as an arch.Reg.
func xreg(w uint32, lo uint) arch.Reg {
	if n := field(w, lo, 5); n != 31 {
		return arch.Reg(n)
	}
	return arch.NoReg
}

// xregSP is xreg where number 31 is the stack pointer.
func xregSP(w uint32, lo uint) arch.Reg { return arch.Reg(field(w, lo, 5)) }

// arith describes Dst as some function of two registers.
func arith(t *arch.Transfer, dst, src, src2 arch.Reg) {
	t.Kind, t.Dst, t.Src, t.Src2 = arch.TransferArith, dst, src, src2
	t.Reads = src.Bit() | src2.Bit()
}

// constant describes Dst = v.
func constant(t *arch.Transfer, dst arch.Reg, v uint64, wide bool) {
	if !wide {
		v &= 1<<32 - 1
	}
	t.Kind, t.Dst, t.Imm, t.HasImm, t.Wide, t.Limit = arch.TransferConst, dst, int64(v), true, true, v
}

// transferImmediate is for data processing with an immediate (Arm ARM, C4.1.65).
func transferImmediate(t *arch.Transfer, w uint32) {
	wide := w>>31 == 1
	switch field(w, 23, 3) {
	case 0, 1: // ADR, ADRP
		t.Kind, t.Dst, t.HasMem, t.Wide = arch.TransferAddress, xreg(w, 0), true, true
		t.Mem.Disp, t.Mem.From = signed(w, 5, 19)<<2|int64(field(w, 29, 2)), arch.FromInst
		if wide {
			t.Mem.Disp, t.Mem.From = t.Mem.Disp<<12, arch.FromPage
		}
	case 2:
		transferAddImm(t, w, wide)
	case 3: // ADDG, SUBG; SMAX and the like
		arith(t, arch.NoReg, xregSP(w, 5), arch.NoReg)
	case 4:
		transferLogicalImm(t, w, wide)
	case 5:
		transferMove(t, w, wide)
	case 6:
		transferBitfield(t, w, wide)
	case 7: // EXTR; AUTIASPPC and AUTIBSPPC
		arith(t, xreg(w, 0), xreg(w, 5), xreg(w, 16))
		if w&0xffc0001f == 0xf380001f {
			arith(t, LR, LR, SP)
		}
	}
}

// transferAddImm is for ADD, SUB, ADDS and SUBS (immediate): sf op S 100010 sh imm12 Rn Rd.
func transferAddImm(t *arch.Transfer, w uint32, wide bool) {
	imm := int64(field(w, 10, 12))
	if w>>22&1 == 1 {
		imm <<= 12
	}
	sub, flags := w>>30&1 == 1, w>>29&1 == 1
	rn := xregSP(w, 5)
	switch {
	case flags && sub: // CMP, if the difference is left out
		t.Kind, t.Dst, t.Src, t.Imm, t.HasImm, t.Wide = arch.TransferCompare, xreg(w, 0), rn, imm, true, wide
		t.Adds, t.Reads = true, rn.Bit()
	case flags: // CMN, if the sum is left out
		arith(t, xreg(w, 0), rn, arch.NoReg)
		t.Imm, t.HasImm, t.Adds = imm, true, true
	case wide:
		if sub {
			imm = -imm
		}
		t.Kind, t.Dst, t.HasMem, t.Wide = arch.TransferAddress, xregSP(w, 0), true, true
		t.Mem.Base, t.Mem.Disp = rn, imm
		t.Reads = rn.Bit()
	default: // 32 bits are no address
		if sub {
			imm = -imm
		}
		arith(t, xregSP(w, 0), rn, arch.NoReg)
		t.Imm, t.HasImm, t.Adds = imm, true, true
	}
	t.Flags = flags
}

// transferLogicalImm is for AND, ORR, EOR and ANDS (immediate): sf opc 100100 N immr imms Rn Rd.
func transferLogicalImm(t *arch.Transfer, w uint32, wide bool) {
	mask, ok := bitmask(w, wide)
	opc, rn := field(w, 29, 2), xreg(w, 5)
	switch {
	case opc == 1 && rn == arch.NoReg && ok: // MOV (bitmask immediate)
		constant(t, xregSP(w, 0), mask, wide)
		return
	case opc == 3:
		arith(t, xreg(w, 0), rn, arch.NoReg)
		t.Flags = true
	default:
		arith(t, xregSP(w, 0), rn, arch.NoReg)
	}
	if ok && (opc == 0 || opc == 3) {
		t.Limit = mask
	}
}

// bitmask returns the value that N, immr and imms stand for (Arm ARM, DecodeBitMasks).
func bitmask(w uint32, wide bool) (uint64, bool) {
	n, immr, imms := field(w, 22, 1), field(w, 16, 6), field(w, 10, 6)
	length := bits.Len32(n<<6|^imms&0x3f) - 1
	if length < 1 || n == 1 && !wide {
		return 0, false
	}
	size := uint(1) << length
	s, r := uint(imms)&(size-1), uint(immr)&(size-1)
	if s == size-1 {
		return 0, false
	}
	element := uint64(1)<<(s+1) - 1
	element = element>>r | element<<(size-r)
	if size < 64 {
		element &= 1<<size - 1
	}
	value := element
	for at := size; at < 64; at *= 2 {
		value |= value << at
	}
	if !wide {
		value &= 1<<32 - 1
	}
	return value, true
}

// transferMove is for MOVN, MOVZ and MOVK: sf opc 100101 hw imm16 Rd.
func transferMove(t *arch.Transfer, w uint32, wide bool) {
	rd, shift := xreg(w, 0), 16*field(w, 21, 2)
	v := uint64(field(w, 5, 16)) << shift
	switch field(w, 29, 2) {
	case 0:
		constant(t, rd, ^v, wide)
	case 2:
		constant(t, rd, v, wide)
	default:
		t.Kind, t.Dst, t.Src, t.Imm, t.HasImm, t.Wide = arch.TransferInsert, rd, rd, int64(v), true, wide
		t.Mask, t.Reads = 0xffff<<shift, rd.Bit()
	}
}

// transferBitfield is for SBFM, BFM and UBFM: sf opc 100110 N immr imms Rn Rd.
func transferBitfield(t *arch.Transfer, w uint32, wide bool) {
	rd, rn := xreg(w, 0), xreg(w, 5)
	immr, imms, size := field(w, 16, 6), field(w, 10, 6), uint32(32)
	if wide {
		size = 64
	}
	switch field(w, 29, 2) {
	case 1: // BFM keeps the rest of Rd
		arith(t, rd, rn, rd)
	case 2:
		arith(t, rd, rn, arch.NoReg)
		if imms >= immr { // UBFX, LSR, UXTB
			t.Limit = 1<<(imms-immr+1) - 1
		} else { // UBFIZ, LSL
			t.Limit = (1<<(imms+1) - 1) << (size - immr)
		}
	default:
		arith(t, rd, rn, arch.NoReg)
	}
}

// transferBranch is for branches, hints and accesses to system registers.
func transferBranch(t *arch.Transfer, d *Inst, w uint32) {
	arith(t, arch.NoReg, arch.NoReg, arch.NoReg)
	switch {
	case d.Flow == arch.FlowJumpInd || d.Flow == arch.FlowCallInd || d.Flow == arch.FlowReturn:
		if d.Rn != NoReg {
			t.Src = arch.Reg(d.Rn)
		}
		t.Reads = t.Src.Bit()
		if w>>24 == 0xd7 { // BRAA and the like
			t.Src2 = xregSP(w, 0)
			t.Reads |= t.Src2.Bit()
		}
	case w&0xff000000 == 0x54000000: // B.cond
		t.Cond = conditions[w&15]
	case w&0x7c000000 == 0x34000000: // CBZ, TBZ and the like
		t.Src = xreg(w, 0)
		t.Reads = t.Src.Bit()
	case w&0x7e000000 == 0x74000000: // CB<cc>
		t.Src, t.Src2 = xreg(w, 0), xreg(w, 16)
		t.Reads = t.Src.Bit() | t.Src2.Bit()
	case d.Flow == arch.FlowSyscall:
		t.Reads = 0x1ff // x0 to x5, x8
	case d.Kind == ReadTP:
		t.Dst = xreg(w, 0)
	case w&0xfffff01f == 0xd503201f:
		t.Reads = t.Writes
	case d.Flow == arch.FlowNext:
		t.Reads = xreg(w, 0).Bit() | t.Writes
	}
	switch {
	case w&0xffffffe0 == 0xd50b7420 || w&0xffffffe0 == 0xd50b7460 || w&0xffffffe0 == 0xd50b7480: // DC ZVA, GVA, GZVA write to memory
		t.Kind = arch.TransferOther
		return
	case t.Writes == 0 && d.Flow != arch.FlowSyscall:
		t.Kind = arch.TransferNone
	}
	t.Flags = d.Flow == arch.FlowNext && w&0xfffff01f != 0xd503201f && d.Kind != ReadTP
}

// conditions are those of B.cond by number (Arm ARM, C1.2.4).
var conditions = [16]arch.Cond{2: arch.CondAboveEqual, 3: arch.CondBelow, 8: arch.CondAbove, 9: arch.CondBelowEqual}

// transferRegister is for data processing with registers (Arm ARM, C4.1.68).
func transferRegister(t *arch.Transfer, w uint32) {
	wide := w>>31 == 1
	rd, rn, rm := xreg(w, 0), xreg(w, 5), xreg(w, 16)
	switch {
	case w&0x1f000000 == 0x0a000000: // logical, shifted register
		arith(t, rd, rn, rm)
		t.Flags = field(w, 29, 2) == 3
		if w&0x7fe0fc00 == 0x2a000000 && rn == arch.NoReg { // MOV
			t.Kind, t.Src, t.Src2, t.Wide = arch.TransferMove, rm, arch.NoReg, wide
			if rm == arch.NoReg {
				constant(t, rd, 0, true)
			}
		}
		t.Negates = w>>21&1 == 1 && field(w, 29, 2) != 0 && t.Kind == arch.TransferArith // ORN and EON: of one's complement
	case w&0x1f000000 == 0x0b000000:
		transferAddRegister(t, w, wide)
	case w&0x1fe00000 == 0x1a400000: // CCMP, CCMN
		arith(t, arch.NoReg, rn, arch.NoReg)
		if w>>11&1 == 0 {
			t.Src2 = rm
			t.Reads |= rm.Bit()
			if w>>30&1 == 1 { // CCMP: if it does, the flags are of this comparison
				t.Kind, t.Wide = arch.TransferCompare, wide
			}
		}
		t.Flags = true
	case w&0x7fe00c00 == 0x1a800000: // CSEL
		arith(t, rd, rn, rm)
		t.Kind, t.Wide = arch.TransferSelect, wide
	case w&0x1fe00000 == 0x1a800000: // CSINC, CSINV, CSNEG
		arith(t, rd, rn, rm)
		t.Negates = w>>30&1 == 1
	case w&0x1fe0fc00 == 0x1a000000: // ADC, SBC
		arith(t, rd, rn, rm)
		t.Flags, t.Negates = w>>29&1 == 1, w>>30&1 == 1
	case w&0x7fe0f800 == 0x1ac00800, w&0x7fe0f000 == 0x1ac02000: // UDIV, SDIV; LSLV, LSRV, ASRV, RORV
		arith(t, rd, rn, rm)
	case w&0x1f000000 == 0x1b000000: // three sources
		arith(t, rd, rn, rm)
		t.Reads |= xreg(w, 10).Bit()
		t.Negates = w>>15&1 == 1 && field(w, 21, 2)&3 != 2 // MSUB, SMSUBL, UMSUBL
	case w&0x5fff0000 == 0x5ac00000: // REV and the like: one source
		arith(t, rd, rn, arch.NoReg)
	case w&0x5fe00000 == 0x5ac00000: // PACIA and the like
		arith(t, rd, xregSP(w, 5), rd)
		t.Reads |= t.Writes
	default: // of two sources, some have the stack pointer (IRG, SUBP, PACGA)
		arith(t, rd, xregSP(w, 5), xregSP(w, 16))
		t.Flags = true
	}
}

// transferAddRegister is for ADD and SUB with a register that is shifted or extended: sf op S 01011 shift x Rm imm Rn Rd.
func transferAddRegister(t *arch.Transfer, w uint32, wide bool) {
	extended := w>>21&1 == 1
	sub, flags := w>>30&1 == 1, w>>29&1 == 1
	rd, rn, rm := xreg(w, 0), xreg(w, 5), xreg(w, 16)
	var m arch.Mem
	plain := false // an address can be told
	if extended {
		rn = xregSP(w, 5)
		if !flags {
			rd = xregSP(w, 0)
		}
		m.Scale, m.Extend = uint8(field(w, 10, 3)), extendOf(w)
		plain = true
	} else {
		m.Scale = uint8(field(w, 10, 6))
		plain = field(w, 22, 2) == 0 // LSL
	}
	arith(t, rd, rn, rm)
	switch t.Flags = flags; {
	case flags && sub:
		t.Kind, t.Wide = arch.TransferCompare, wide
	case !flags && wide && plain && rn != arch.NoReg:
		t.Kind, t.Src, t.Src2, t.HasMem, t.Wide = arch.TransferAddress, arch.NoReg, arch.NoReg, true, true
		m.Base, m.Index, m.Minus = rn, rm, sub
		t.Mem = m
	case !flags && sub && rn != arch.NoReg: // of 32 bits, or shifted otherwise
		t.Kind, t.Wide = arch.TransferCompare, wide
	case sub: // NEG
		t.Negates = true
	}
}

// extendOf returns which part of Rm an option stands for (Arm ARM, ExtendReg): UXTB to UXTX, SXTB to SXTX.
func extendOf(w uint32) arch.Extend {
	option := field(w, 13, 3)
	if option&3 == 3 {
		return arch.Extend{}
	}
	return arch.Extend{Bits: 8 << (option & 3), Signed: option>>2 == 1}
}

// transferMemory is for loads and stores.
func transferMemory(t *arch.Transfer, d *Inst, w uint32) {
	switch d.Kind {
	case Literal, Memory, MemoryIn:
	default:
		t.Reads = arch.Regs(AllRegs)
		if group := field(w, 28, 2); group == 1 && d.Writes != AllRegs { // CPYP, SETP and the like
			t.Reads, t.Flags = t.Writes|xreg(w, 16).Bit(), true
		}
		return
	}
	vector := w>>26&1 == 1
	t.HasMem, t.Vector = true, vector
	t.Mem.Disp, t.Mem.Width, t.Mem.Load, t.Mem.Store = d.Imm, d.Width, d.Load, d.Store
	switch d.Kind {
	case Literal:
		t.Mem.From = arch.FromInst
	case MemoryIn:
		t.Mem.Index, t.Mem.Extend = xreg(w, 16), extendOf(w)
		if w>>12&1 == 1 {
			t.Mem.Scale = uint8(bits.Len8(max(d.Width, 1)) - 1)
		}
	}
	if d.Rn != NoReg {
		t.Mem.Base = arch.Reg(d.Rn)
	}
	if d.Index == Post {
		t.Mem.Disp = 0
	}
	pair := field(w, 28, 2) == 2
	t.Pair = pair
	switch {
	case !d.Load && !d.Store: // PRFM
		t.Kind, t.HasMem = arch.TransferNone, true
	case d.Load && !d.Store && plainAccess(w):
		t.Kind = arch.TransferLoad
		if !vector {
			t.Dst = xreg(w, 0)
			if pair {
				t.Dst2 = xreg(w, 10)
			}
			t.Signed = signedLoad(w)
			if !t.Signed && !pair && d.Width < 8 {
				t.Limit = 1<<(8*d.Width) - 1
			}
			t.Wide = !t.Signed && !pair && d.Width == 8 || pair && d.Width == 16
		}
	case d.Store && !d.Load && plainAccess(w):
		t.Kind = arch.TransferStore
		if !vector {
			t.Src = xreg(w, 0)
			if pair {
				t.Src2 = xreg(w, 10)
			}
		}
	default: // exclusive, ordered and atomic accesses, tags
		t.Kind = arch.TransferArith
		switch group := field(w, 28, 2); {
		case vector: // structures, of which the base may be stepped by a register
			if d.Index == Post {
				t.Reads |= xreg(w, 16).Bit()
			}
		case group == 3: // LDADD and the like
			t.Src = xreg(w, 16)
		case d.Store && d.Load: // CAS, CASP
			t.Src, t.Src2 = xreg(w, 0), xreg(w, 16)
			t.Reads = xreg(w|1, 0).Bit() | xreg(w|1<<16, 16).Bit()
		case d.Store && group == 1 && w>>21&1 == 1: // STG and the like
			t.Src = xregSP(w, 0)
		case d.Store && group == 1: // STLUR
			t.Src = xreg(w, 0)
		case d.Store:
			t.Src, t.Src2 = xreg(w, 0), xreg(w, 10)
		}
	}
	t.Reads |= t.Mem.Base.Bit() | t.Mem.Index.Bit() | t.Src.Bit() | t.Src2.Bit()
	if d.Index != Offset && t.Mem.Base != arch.NoReg {
		t.WriteBack, t.Step = true, d.Imm
		if field(w, 28, 2) == 0 { // structures: by how much is not told
			t.WriteBack = false
		}
	}
}

// plainAccess reports whether a load or store is of one or two registers and no more: the groups xx10 and xx11 without the atomic ones, and
// literals.
func plainAccess(w uint32) bool {
	switch field(w, 28, 2) {
	case 1:
		return w>>24&1 == 0
	case 2:
		return w>>26&1 == 1 || field(w, 30, 2) != 1 || w>>22&1 == 1 // but for STGP
	case 3:
		return w>>24&1 == 1 || w>>21&1 == 0 || field(w, 10, 2) == 2
	}
	return false
}

// signedLoad reports whether a load of general registers extends the sign.
func signedLoad(w uint32) bool {
	switch field(w, 28, 2) {
	case 1: // LDRSW (literal)
		return field(w, 30, 2) == 2
	case 2: // LDPSW
		return field(w, 30, 2) == 1
	}
	return w>>23&1 == 1 // opc 10 and 11
}

// transferVector is for floating point and SIMD, of which some move from or to a general register (Arm ARM, C4.1.69).
func transferVector(t *arch.Transfer, d *Inst, w uint32) {
	op := field(w, 16, 3)
	switch {
	case d.Writes != 0:
		arith(t, xreg(w, 0), arch.NoReg, arch.NoReg)
		t.Vector = true
		t.Wide = w&0xfffffc00 == 0x9e660000 || w&0xfffffc00 == 0x9eae0000 || w&0xffe0fc00 == 0x4e003c00 // FMOV (general) of 64 bits, UMOV of such
		return
	case w&0xbfe0fc00 == 0x0e000c00, w&0xffe0fc00 == 0x4e001c00: // DUP, INS (general)
	case w&0x7f20fc00 == 0x1e200000 && (op == 2 || op == 3 || op == 7): // SCVTF, UCVTF, FMOV
	case w&0x7f200000 == 0x1e000000 && (op == 2 || op == 3): // SCVTF, UCVTF (fixed point)
	default:
		t.Kind = arch.TransferNone
		t.Flags = w&0xff200c00 == 0x1e200400 || w&0xff203c00 == 0x1e202000 // FCCMP, FCMP
		return
	}
	arith(t, arch.NoReg, xreg(w, 5), arch.NoReg)
	t.Vector = true
}
