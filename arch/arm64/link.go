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

// pltStub describes a stub of the procedure linkage table ([arch.Arch].PLTStub): what [arch.Unwind].Stub knows (aaelf64, "Procedure linkage tables"), but the
// table's head, which hands on to the resolver. It starts at the adrp, or at a landing pad in front of it.
func pltStub(code []byte, at arch.ImageAddr, off int) (slot arch.ImageAddr, starts []int, ok bool) {
	end := off + InstLen
	if off < 0 || end > len(code) {
		return 0, nil, false
	}
	for k := off - InstLen; k >= max(0, end-maxStub*InstLen); k -= InstLen {
		s, ok := stub(code[k:end], arch.Addr(at)+arch.Addr(k))
		if ok && s.Slot && s.Push == 0 && s.Len == end-k && binary.LittleEndian.Uint32(code[k:]) != nop {
			slot, starts = arch.ImageAddr(s.To), append(starts, k)
		}
	}
	return slot, starts, len(starts) > 0
}
