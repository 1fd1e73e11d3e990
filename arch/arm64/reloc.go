package arm64

import (
	"debug/elf"
	"encoding/binary"

	"hotpatch/arch"
)

// unnamed are the relocation types that debug/elf does not name (aaelf64, 5.7).
var unnamed = map[elf.R_AARCH64]string{
	314: "R_AARCH64_PLT32",
	528: "R_AARCH64_TLSLD_ADD_DTPREL_HI12",
	529: "R_AARCH64_TLSLD_ADD_DTPREL_LO12",
	530: "R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC",
	552: "R_AARCH64_TLSLE_LDST8_TPREL_LO12",
	553: "R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC",
	554: "R_AARCH64_TLSLE_LDST16_TPREL_LO12",
	555: "R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC",
	556: "R_AARCH64_TLSLE_LDST32_TPREL_LO12",
	557: "R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC",
	558: "R_AARCH64_TLSLE_LDST64_TPREL_LO12",
	559: "R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC",
	570: "R_AARCH64_TLSLE_LDST128_TPREL_LO12",
	571: "R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC",
}

// putter stores a value in a field: [arch.Reloc].
type putter func(field []byte, v int64) error

// relocs are the static relocations that compilers emit for position-independent and other programs up to the small code
// model, and MOVW groups (aaelf64, 5.7.4 to 5.7.11).
var relocs = func() map[uint32]arch.Reloc {
	table := make(map[uint32]arch.Reloc)
	for _, group := range []struct {
		kind arch.RelocKind
		size int
		put  map[elf.R_AARCH64]putter
	}{
		{arch.RelocNone, 0, map[elf.R_AARCH64]putter{
			elf.R_AARCH64_NONE: putNothing, elf.R_AARCH64_NULL: putNothing, elf.R_AARCH64_TLSDESC_CALL: putNothing,
		}},
		{arch.RelocAbs, 8, map[elf.R_AARCH64]putter{elf.R_AARCH64_ABS64: put64}},
		{arch.RelocAbs, 4, map[elf.R_AARCH64]putter{elf.R_AARCH64_ABS32: put32(1 << 32)}},
		{arch.RelocAbs, 2, map[elf.R_AARCH64]putter{elf.R_AARCH64_ABS16: put16(1 << 16)}},
		{arch.RelocPC, 8, map[elf.R_AARCH64]putter{elf.R_AARCH64_PREL64: put64}},
		{arch.RelocPC, 4, map[elf.R_AARCH64]putter{elf.R_AARCH64_PREL32: put32(1 << 31)}},
		{arch.RelocPC, 2, map[elf.R_AARCH64]putter{elf.R_AARCH64_PREL16: put16(1 << 15)}},
		{arch.RelocPLT, 4, map[elf.R_AARCH64]putter{314: put32(1 << 31)}},
		{arch.RelocPLT, InstLen, branchRelocs},
		{arch.RelocPC, InstLen, relativeRelocs},
		{arch.RelocPage, InstLen, map[elf.R_AARCH64]putter{
			elf.R_AARCH64_ADR_PREL_PG_HI21: putPage, elf.R_AARCH64_ADR_PREL_PG_HI21_NC: putAnyPage,
		}},
		{arch.RelocAbs, InstLen, absoluteRelocs},
		{arch.RelocGOTPage, InstLen, map[elf.R_AARCH64]putter{elf.R_AARCH64_ADR_GOT_PAGE: putPage}},
		{arch.RelocGOTAbs, InstLen, map[elf.R_AARCH64]putter{elf.R_AARCH64_LD64_GOT_LO12_NC: putLow(8)}},
		{arch.RelocGOTPC, InstLen, map[elf.R_AARCH64]putter{elf.R_AARCH64_GOT_LD_PREL19: putBranch(bitsImm19)}},
		{arch.RelocTLSPage, InstLen, map[elf.R_AARCH64]putter{
			elf.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21: putPage, elf.R_AARCH64_TLSGD_ADR_PAGE21: putPage,
			elf.R_AARCH64_TLSDESC_ADR_PAGE21: putPage,
		}},
		{arch.RelocTLSAbs, InstLen, map[elf.R_AARCH64]putter{
			elf.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: putLow(8), elf.R_AARCH64_TLSGD_ADD_LO12_NC: putLow(0),
			elf.R_AARCH64_TLSDESC_LD64_LO12_NC: putLow(8), elf.R_AARCH64_TLSDESC_ADD_LO12_NC: putLow(0),
		}},
		{arch.RelocTP, InstLen, threadRelocs},
		{arch.RelocDTP, InstLen, map[elf.R_AARCH64]putter{528: putHigh, 529: putWhole(0), 530: putLow(0)}},
	} {
		for typ, put := range group.put {
			name, ok := unnamed[typ]
			if !ok {
				name = typ.String()
			}
			table[uint32(typ)] = arch.Reloc{Type: uint32(typ), Name: name, Kind: group.kind, Size: group.size, Put: put}
		}
	}
	return table
}()

// branchRelocs may be given a stub to lead to (aaelf64, 5.7.8).
var branchRelocs = map[elf.R_AARCH64]putter{
	elf.R_AARCH64_CALL26: putBranch(bitsImm26),
	elf.R_AARCH64_JUMP26: putBranch(bitsImm26),
}

// relativeRelocs are the other fields that count from the instruction.
var relativeRelocs = map[elf.R_AARCH64]putter{
	elf.R_AARCH64_CONDBR19:      putBranch(bitsImm19),
	elf.R_AARCH64_TSTBR14:       putBranch(bitsImm14),
	elf.R_AARCH64_LD_PREL_LO19:  putBranch(bitsImm19),
	elf.R_AARCH64_ADR_PREL_LO21: putADR,
}

// absoluteRelocs are the low 12 bits of an address, scaled by the size of the access, and 16 bits of it.
var absoluteRelocs = map[elf.R_AARCH64]putter{
	elf.R_AARCH64_ADD_ABS_LO12_NC:     putLow(0),
	elf.R_AARCH64_LDST8_ABS_LO12_NC:   putLow(1),
	elf.R_AARCH64_LDST16_ABS_LO12_NC:  putLow(2),
	elf.R_AARCH64_LDST32_ABS_LO12_NC:  putLow(4),
	elf.R_AARCH64_LDST64_ABS_LO12_NC:  putLow(8),
	elf.R_AARCH64_LDST128_ABS_LO12_NC: putLow(16),
	elf.R_AARCH64_MOVW_UABS_G0:        putMovw(0, true),
	elf.R_AARCH64_MOVW_UABS_G0_NC:     putMovw(0, false),
	elf.R_AARCH64_MOVW_UABS_G1:        putMovw(1, true),
	elf.R_AARCH64_MOVW_UABS_G1_NC:     putMovw(1, false),
	elf.R_AARCH64_MOVW_UABS_G2:        putMovw(2, true),
	elf.R_AARCH64_MOVW_UABS_G2_NC:     putMovw(2, false),
	elf.R_AARCH64_MOVW_UABS_G3:        putMovw(3, false),
	elf.R_AARCH64_MOVW_SABS_G0:        putSignedMovw(0),
	elf.R_AARCH64_MOVW_SABS_G1:        putSignedMovw(1),
	elf.R_AARCH64_MOVW_SABS_G2:        putSignedMovw(2),
}

// threadRelocs are the offset from the thread pointer (local exec).
var threadRelocs = map[elf.R_AARCH64]putter{
	elf.R_AARCH64_TLSLE_MOVW_TPREL_G2:     putSignedMovw(2),
	elf.R_AARCH64_TLSLE_MOVW_TPREL_G1:     putSignedMovw(1),
	elf.R_AARCH64_TLSLE_MOVW_TPREL_G1_NC:  putMovw(1, false),
	elf.R_AARCH64_TLSLE_MOVW_TPREL_G0:     putSignedMovw(0),
	elf.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC:  putMovw(0, false),
	elf.R_AARCH64_TLSLE_ADD_TPREL_HI12:    putHigh,
	elf.R_AARCH64_TLSLE_ADD_TPREL_LO12:    putWhole(0),
	elf.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC: putLow(0),
	552:                                   putWhole(1),
	553:                                   putLow(1),
	554:                                   putWhole(2),
	555:                                   putLow(2),
	556:                                   putWhole(4),
	557:                                   putLow(4),
	558:                                   putWhole(8),
	559:                                   putLow(8),
	570:                                   putWhole(16),
	571:                                   putLow(16),
}

// fieldReloc is [arch.Arch.FieldReloc]. Of a reference in two parts, ADRP takes the kinds of pages and its partner those of
// addresses. ADR and literals reach 1 MiB, which is too short: the patch may be farther from the image, and its data from its
// text.
func fieldReloc(code []byte, in *arch.Inst, op int, kind arch.RelocKind) (typ uint32, adjust int64, ok bool) {
	if len(code) < InstLen || op != arch.BranchOp && op >= in.NumOps {
		return 0, 0, false
	}
	w := binary.LittleEndian.Uint32(code)
	var t elf.R_AARCH64
	switch {
	case op == arch.BranchOp && (kind == arch.RelocPC || kind == arch.RelocPLT):
		t = branchReloc(w, in, kind)
	case op == arch.BranchOp:
	case in.Ops[op].Kind == arch.OpPage && kind == arch.RelocPage:
		t = elf.R_AARCH64_ADR_PREL_PG_HI21
	case in.Ops[op].Kind == arch.OpPage && kind == arch.RelocGOTPage:
		t = elf.R_AARCH64_ADR_GOT_PAGE
	case in.Ops[op].Kind == arch.OpDisp && kind == arch.RelocAbs:
		t = lowReloc(w)
	case in.Ops[op].Kind == arch.OpDisp && kind == arch.RelocGOTAbs && lowReloc(w) == elf.R_AARCH64_LDST64_ABS_LO12_NC:
		t = elf.R_AARCH64_LD64_GOT_LO12_NC
	case kind == arch.RelocTP:
		t = threadReloc(code)
	}
	return uint32(t), 0, t != 0
}

// branchReloc returns the relocation type of a direct branch; 0: there is none.
func branchReloc(w uint32, in *arch.Inst, kind arch.RelocKind) elf.R_AARCH64 {
	switch {
	case !isDirect(in.Flow):
	case in.Flow == arch.FlowCall:
		return elf.R_AARCH64_CALL26
	case in.Flow == arch.FlowJump:
		return elf.R_AARCH64_JUMP26
	case kind != arch.RelocPC:
	case branchBits(w) == bitsImm19:
		return elf.R_AARCH64_CONDBR19
	case branchBits(w) == bitsImm14:
		return elf.R_AARCH64_TSTBR14
	}
	return 0
}

// lowRelocs are the types that store the low 12 bits of an address, by the size of the access; 0: of an addition.
var lowRelocs = [...]elf.R_AARCH64{
	0: elf.R_AARCH64_ADD_ABS_LO12_NC, 1: elf.R_AARCH64_LDST8_ABS_LO12_NC, 2: elf.R_AARCH64_LDST16_ABS_LO12_NC,
	4: elf.R_AARCH64_LDST32_ABS_LO12_NC, 8: elf.R_AARCH64_LDST64_ABS_LO12_NC, 16: elf.R_AARCH64_LDST128_ABS_LO12_NC,
}

// lowReloc returns the type that stores the low 12 bits of an address in an instruction, by what it accesses; 0: it has no field
// for them.
func lowReloc(w uint32) elf.R_AARCH64 {
	in := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	if !decode(&in, w) {
		return 0
	}
	for size, t := range lowRelocs {
		if isLow(&in, w, int64(size)) {
			return t
		}
	}
	return 0
}
