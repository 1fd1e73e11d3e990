package x86

import (
	"bytes"
	"debug/elf"

	"hotpatch/arch"
)

// dynamic describes the types of dynamic relocations (table 4.10 of the x86-64 supplement to the System V ABI).
func dynamic(typ uint32) (arch.DynReloc, bool) {
	switch elf.R_X86_64(typ) {
	case elf.R_X86_64_NONE:
		return arch.DynReloc{Kind: arch.DynNone}, true
	case elf.R_X86_64_64:
		return arch.DynReloc{Kind: arch.DynAbs, Size: 8}, true
	case elf.R_X86_64_32, elf.R_X86_64_32S, elf.R_X86_64_PC32, elf.R_X86_64_SIZE32:
		return arch.DynReloc{Kind: arch.DynOther, Size: 4}, true
	case elf.R_X86_64_PC64, elf.R_X86_64_SIZE64:
		return arch.DynReloc{Kind: arch.DynOther, Size: 8}, true
	case elf.R_X86_64_GLOB_DAT:
		return arch.DynReloc{Kind: arch.DynGlobDat, Size: 8}, true
	case elf.R_X86_64_JMP_SLOT:
		return arch.DynReloc{Kind: arch.DynJumpSlot, Size: 8}, true
	case elf.R_X86_64_RELATIVE:
		return arch.DynReloc{Kind: arch.DynRelative, Size: 8}, true
	case elf.R_X86_64_IRELATIVE:
		return arch.DynReloc{Kind: arch.DynIRelative, Size: 8}, true
	case elf.R_X86_64_COPY:
		return arch.DynReloc{Kind: arch.DynCopy}, true
	case elf.R_X86_64_TPOFF64:
		return arch.DynReloc{Kind: arch.DynTPOff, Size: 8}, true
	case elf.R_X86_64_DTPMOD64:
		return arch.DynReloc{Kind: arch.DynDTPMod, Size: 8}, true
	case elf.R_X86_64_DTPOFF64:
		return arch.DynReloc{Kind: arch.DynDTPOff, Size: 8}, true
	case elf.R_X86_64_TLSDESC:
		return arch.DynReloc{Kind: arch.DynTLSDesc, Size: 16}, true
	}
	return arch.DynReloc{}, false
}

// link describes the types of link-time relocations (the same table).
func link(typ uint32) (arch.LinkReloc, bool) {
	switch elf.R_X86_64(typ) {
	case elf.R_X86_64_NONE:
		return arch.LinkReloc{Kind: arch.LinkNone}, true
	case elf.R_X86_64_64:
		return arch.LinkReloc{Kind: arch.LinkAddress, Size: 8}, true
	case elf.R_X86_64_32, elf.R_X86_64_32S:
		return arch.LinkReloc{Kind: arch.LinkAddress, Size: 4}, true
	case elf.R_X86_64_PC32, elf.R_X86_64_PLT32:
		return arch.LinkReloc{Kind: arch.LinkAddress, Form: arch.FormPC, Size: 4}, true
	case elf.R_X86_64_PC64:
		return arch.LinkReloc{Kind: arch.LinkAddress, Form: arch.FormPC, Size: 8}, true
	case elf.R_X86_64_GOTPCREL, elf.R_X86_64_GOTPCRELX, elf.R_X86_64_REX_GOTPCRELX:
		return arch.LinkReloc{Kind: arch.LinkSlot, Form: arch.FormPC, Size: 4}, true
	case elf.R_X86_64_TPOFF32:
		return arch.LinkReloc{Kind: arch.LinkTPOff, Size: 4}, true
	case elf.R_X86_64_TPOFF64:
		return arch.LinkReloc{Kind: arch.LinkTPOff, Size: 8}, true
	case elf.R_X86_64_DTPOFF32:
		return arch.LinkReloc{Kind: arch.LinkDTPOff, Size: 4}, true
	case elf.R_X86_64_DTPOFF64:
		return arch.LinkReloc{Kind: arch.LinkDTPOff, Size: 8}, true
	case elf.R_X86_64_GOTTPOFF:
		return arch.LinkReloc{Kind: arch.LinkTPOffSlot, Form: arch.FormPC, Size: 4, Behind: 4}, true
	case elf.R_X86_64_TLSGD:
		return arch.LinkReloc{Kind: arch.LinkTLSPair, Form: arch.FormPC, Size: 4, Behind: 4}, true
	case elf.R_X86_64_TLSLD:
		return arch.LinkReloc{Kind: arch.LinkTLSModule, Form: arch.FormPC, Size: 4, Behind: 4}, true
	case elf.R_X86_64_GOTPC32_TLSDESC:
		return arch.LinkReloc{Kind: arch.LinkTLSDesc, Form: arch.FormPC, Size: 4, Behind: 4}, true
	case elf.R_X86_64_TLSDESC_CALL: // it marks the instruction
		return arch.LinkReloc{Kind: arch.LinkTLSDesc}, true
	}
	return arch.LinkReloc{Kind: arch.LinkOther}, false
}

// pltStub describes a stub of the procedure linkage table: an indirect jump through a slot, lazy or bound, with bnd or without it. It starts at that, at a landing
// pad in front of it, or at the move of the stub's number into a register with which mold's stubs begin (41 bb: mov imm32, %r11d).
func pltStub(code []byte, at arch.ImageAddr, off int) (slot arch.ImageAddr, starts []int, ok bool) {
	var in arch.Inst
	if off < 0 || off > len(code) || DecodeInto(&in, code[off:]) != nil {
		return 0, nil, false
	}
	if in.Flow != arch.FlowJumpInd || in.NumOps == 0 || in.Ops[0].Kind != arch.OpPC {
		return 0, nil, false
	}
	starts = append(starts, off)
	first := off
	if n := off - 6; n >= 0 && code[n] == 0x41 && code[n+1] == 0xbb {
		first = n
		starts = append(starts, first)
	}
	if bytes.HasSuffix(code[:first], []byte(endbr64)) {
		starts = append(starts, first-len(endbr64))
	}
	return at + arch.ImageAddr(int64(off)+in.Ops[0].Value), starts, true
}

// lockPrefix makes a read-modify-write instruction atomic (Intel SDM vol. 2, 2.1.1).
const lockPrefix = 0xf0

// unlocked reports whether code is a locked instruction, behind whose prefix the same one starts without it. glibc jumps
// there while the process has one thread only.
func unlocked(code []byte) bool {
	if len(code) == 0 || code[0] != lockPrefix {
		return false
	}
	var whole, rest arch.Inst
	return DecodeInto(&whole, code) == nil && DecodeInto(&rest, code[1:]) == nil &&
		rest.Len == whole.Len-1 && rest.Flow == arch.FlowNext && whole.Flow == arch.FlowNext
}

// generalDynamic reports whether a lea has the operand size prefix that pads the code of general dynamic access (System V ABI, "ELF Handling For Thread-Local
// Storage", 4.1.6 and 4.2.6).
func generalDynamic(code []byte) bool { return len(code) > 0 && code[0] == 0x66 }
