package arm64

import (
	"debug/elf"
	"encoding/binary"

	"hotpatch/arch"
)

// linkRange is a run of relocation types that stand for one thing.
type linkRange struct {
	first, last elf.R_AARCH64
	kind        arch.LinkKind
	form        arch.LinkForm
	size        int
}

// links are the static relocations of aaelf64 ("Static AArch64 relocations"), some of which debug/elf has no names for.
var links = [...]linkRange{
	{elf.R_AARCH64_ABS64, elf.R_AARCH64_ABS64, arch.LinkAddress, arch.FormWhole, 8},
	{elf.R_AARCH64_ABS32, elf.R_AARCH64_ABS32, arch.LinkAddress, arch.FormWhole, 4},
	{elf.R_AARCH64_ABS16, elf.R_AARCH64_ABS16, arch.LinkAddress, arch.FormWhole, 2},
	{elf.R_AARCH64_PREL64, elf.R_AARCH64_PREL64, arch.LinkAddress, arch.FormPC, 8},
	{elf.R_AARCH64_PREL32, elf.R_AARCH64_PREL32, arch.LinkAddress, arch.FormPC, 4},
	{elf.R_AARCH64_PREL16, elf.R_AARCH64_PREL16, arch.LinkAddress, arch.FormPC, 2},
	{elf.R_AARCH64_LD_PREL_LO19, elf.R_AARCH64_ADR_PREL_LO21, arch.LinkAddress, arch.FormPC, InstLen},
	{elf.R_AARCH64_ADR_PREL_PG_HI21, elf.R_AARCH64_ADR_PREL_PG_HI21_NC, arch.LinkAddress, arch.FormPage, InstLen},
	{elf.R_AARCH64_ADD_ABS_LO12_NC, elf.R_AARCH64_LDST8_ABS_LO12_NC, arch.LinkAddress, arch.FormLow, InstLen},
	{elf.R_AARCH64_TSTBR14, elf.R_AARCH64_CALL26, arch.LinkBranch, arch.FormPC, InstLen},
	{elf.R_AARCH64_LDST16_ABS_LO12_NC, elf.R_AARCH64_LDST64_ABS_LO12_NC, arch.LinkAddress, arch.FormLow, InstLen},
	{elf.R_AARCH64_LDST128_ABS_LO12_NC, elf.R_AARCH64_LDST128_ABS_LO12_NC, arch.LinkAddress, arch.FormLow, InstLen},
	{elf.R_AARCH64_GOT_LD_PREL19, elf.R_AARCH64_GOT_LD_PREL19, arch.LinkSlot, arch.FormPC, InstLen},
	{elf.R_AARCH64_ADR_GOT_PAGE, elf.R_AARCH64_ADR_GOT_PAGE, arch.LinkSlot, arch.FormPage, InstLen},
	{elf.R_AARCH64_LD64_GOT_LO12_NC, elf.R_AARCH64_LD64_GOTPAGE_LO15, arch.LinkSlot, arch.FormLow, InstLen},
	{314, 314, arch.LinkAddress, arch.FormPC, 4},           // PLT32
	{512, 512, arch.LinkTLSPair, arch.FormPC, InstLen},     // TLSGD_ADR_PREL21
	{513, 513, arch.LinkTLSPair, arch.FormPage, InstLen},   // TLSGD_ADR_PAGE21
	{514, 514, arch.LinkTLSPair, arch.FormLow, InstLen},    // TLSGD_ADD_LO12_NC
	{517, 517, arch.LinkTLSModule, arch.FormPC, InstLen},   // TLSLD_ADR_PREL21
	{518, 518, arch.LinkTLSModule, arch.FormPage, InstLen}, // TLSLD_ADR_PAGE21
	{519, 519, arch.LinkTLSModule, arch.FormLow, InstLen},  // TLSLD_ADD_LO12_NC
	{523, 524, arch.LinkDTPOff, arch.FormHigh, InstLen},    // TLSLD_MOVW_DTPREL_G2, G1
	{525, 527, arch.LinkDTPOff, arch.FormLow, InstLen},     // TLSLD_MOVW_DTPREL_G1_NC, G0, G0_NC
	{528, 528, arch.LinkDTPOff, arch.FormHigh, InstLen},    // TLSLD_ADD_DTPREL_HI12
	{529, 538, arch.LinkDTPOff, arch.FormLow, InstLen},     // TLSLD_ADD_DTPREL_LO12 to TLSLD_LDST64_DTPREL_LO12_NC
	{541, 541, arch.LinkTPOffSlot, arch.FormPage, InstLen}, // TLSIE_ADR_GOTTPREL_PAGE21
	{542, 542, arch.LinkTPOffSlot, arch.FormLow, InstLen},  // TLSIE_LD64_GOTTPREL_LO12_NC
	{543, 543, arch.LinkTPOffSlot, arch.FormPC, InstLen},   // TLSIE_LD_GOTTPREL_PREL19
	{544, 545, arch.LinkTPOff, arch.FormHigh, InstLen},     // TLSLE_MOVW_TPREL_G2, G1
	{546, 548, arch.LinkTPOff, arch.FormLow, InstLen},      // TLSLE_MOVW_TPREL_G1_NC, G0, G0_NC
	{549, 549, arch.LinkTPOff, arch.FormHigh, InstLen},     // TLSLE_ADD_TPREL_HI12
	{550, 559, arch.LinkTPOff, arch.FormLow, InstLen},      // TLSLE_ADD_TPREL_LO12 to TLSLE_LDST64_TPREL_LO12_NC
	{560, 561, arch.LinkTLSDesc, arch.FormPC, InstLen},     // TLSDESC_LD_PREL19, TLSDESC_ADR_PREL21
	{562, 562, arch.LinkTLSDesc, arch.FormPage, InstLen},   // TLSDESC_ADR_PAGE21
	{563, 564, arch.LinkTLSDesc, arch.FormLow, InstLen},    // TLSDESC_LD64_LO12, TLSDESC_ADD_LO12
	{567, 569, arch.LinkTLSDesc, arch.FormWhole, 0},        // TLSDESC_LDR, TLSDESC_ADD, TLSDESC_CALL: they mark instructions
	{570, 571, arch.LinkTPOff, arch.FormLow, InstLen},      // TLSLE_LDST128_TPREL_LO12, _NC
	{572, 573, arch.LinkDTPOff, arch.FormLow, InstLen},     // TLSLD_LDST128_DTPREL_LO12, _NC
	{elf.R_AARCH64_NULL, elf.R_AARCH64_NULL, arch.LinkNone, arch.FormWhole, 0},
	{elf.R_AARCH64_NONE, elf.R_AARCH64_NONE, arch.LinkNone, arch.FormWhole, 0},
}

// link describes the types of link-time relocations: [arch.Arch.Link].
func link(typ uint32) (arch.LinkReloc, bool) {
	for i := range links {
		if r := &links[i]; typ >= uint32(r.first) && typ <= uint32(r.last) {
			return arch.LinkReloc{Kind: r.kind, Form: r.form, Size: r.size}, true
		}
	}
	return arch.LinkReloc{Kind: arch.LinkOther}, false
}

// maxPLTStub is how many instructions of a stub stand in front of its branch: bti c, adrp, ldr, add, autia1716.
const maxPLTStub = 5

// pltStub describes a stub of the procedure linkage table: adrp x16, slot; ldr x17, [x16, :lo12:slot]; add x16, x16, :lo12:slot; br x17, with a landing pad in
// front, and perhaps authentication of the address (aaelf64, "Procedure linkage tables"): [arch.Arch.PLTStub].
func pltStub(code []byte, at arch.ImageAddr, off int) (slot arch.ImageAddr, starts []int, ok bool) {
	const (
		ip0, ip1 = 16, 17
		bti      = 0xd503241f // BTI with any operand (Arm ARM, C6.2, BTI)
	)
	var t arch.Transfer
	if off < 0 || off+InstLen > len(code) {
		return 0, nil, false
	}
	if in, err := Decode(code[off:]); err != nil || in.Flow != arch.FlowJumpInd || in.Rn != ip1 {
		return 0, nil, false
	}
	low, loaded := int64(0), false
	for k := off - InstLen; k >= max(0, off-maxPLTStub*InstLen); k -= InstLen {
		Transfer(&t, code[k:], nil)
		switch {
		case !loaded && t.Kind == arch.TransferLoad && t.Dst == ip1 && t.Mem.Base == ip0 && t.Mem.Index == arch.NoReg && !t.WriteBack:
			low, loaded = t.Mem.Disp, true
		case loaded && t.Kind == arch.TransferAddress && t.Dst == ip0 && t.Mem.Base == arch.NoReg && t.Mem.From == arch.FromPage:
			page := (at + arch.ImageAddr(k)) &^ 0xfff
			starts = append(starts, k)
			if front := k - InstLen; front >= 0 && binary.LittleEndian.Uint32(code[front:])&^0xc0 == bti {
				starts = append(starts, front)
			}
			return page + arch.ImageAddr(t.Mem.Disp+low), starts, true
		case loaded, t.Writes.Has(ip1) && t.Kind != arch.TransferNone && t.Kind != arch.TransferArith: // autia1716 leaves what it authenticates
			return 0, nil, false
		}
	}
	return 0, nil, false
}
