package truth

import "debug/elf"

// reloc is a relocation with addend.
type reloc struct {
	relocType
	off    uint64
	typ    uint32 // R_X86_64_..., R_AARCH64_...
	sym    *symbol
	addend int64
}

// relocType is what is to be known of a type of relocations.
type relocType struct {
	width   uint64 // bytes of the field that it fills
	fromEnd bool   // the field holds a distance that an instruction counts from its end
	jump    bool   // the field can only be that of a branch that is no call
	family  uint32 // the type that stands for those that fill the field in the same way once the target is known
}

// typeOf describes a type.
func typeOf(machine elf.Machine, typ uint32) relocType {
	if machine == elf.EM_AARCH64 {
		return typeAArch64(elf.R_AARCH64(typ))
	}
	return typeX86(elf.R_X86_64(typ))
}

// typeX86 describes a type of the System V ABI, AMD64 supplement, table 4.9.
func typeX86(t elf.R_X86_64) relocType {
	out := relocType{width: 4, family: uint32(t)}
	switch t {
	case elf.R_X86_64_NONE:
		out.width = 0
	case elf.R_X86_64_64, elf.R_X86_64_GOTOFF64, elf.R_X86_64_DTPOFF64, elf.R_X86_64_TPOFF64, elf.R_X86_64_SIZE64:
		out.width = 8
	case elf.R_X86_64_PC64:
		out.width, out.fromEnd = 8, true
	case elf.R_X86_64_16, elf.R_X86_64_PC16:
		out.width = 2
	case elf.R_X86_64_8, elf.R_X86_64_PC8:
		out.width = 1
	case elf.R_X86_64_PC32, elf.R_X86_64_GOTPCREL, elf.R_X86_64_GOTTPOFF, elf.R_X86_64_TLSGD, elf.R_X86_64_TLSLD, elf.R_X86_64_GOTPC32_TLSDESC:
		out.fromEnd = true
	case elf.R_X86_64_PLT32: // the linker makes a stub only where it needs one
		out.fromEnd, out.family = true, uint32(elf.R_X86_64_PC32)
	case elf.R_X86_64_REX_GOTPCRELX, elf.R_X86_64_GOTPCRELX: // permission to relax, which bytes in front of the field decide
		out.fromEnd, out.family = true, uint32(elf.R_X86_64_GOTPCREL)
	}
	return out
}

// typeAArch64 describes a type of ELF for the Arm 64-bit Architecture, 5.7. A field in an instruction is a part of that, which is named as a
// whole; of the two instructions that make an address (adrp and another), each has a relocation with the whole of symbol and addend.
func typeAArch64(t elf.R_AARCH64) relocType {
	out := relocType{width: 4, family: uint32(t)}
	switch t {
	case elf.R_AARCH64_NONE, elf.R_AARCH64_NULL:
		out.width = 0
	case elf.R_AARCH64_ABS64, elf.R_AARCH64_PREL64:
		out.width = 8
	case elf.R_AARCH64_ABS16, elf.R_AARCH64_PREL16:
		out.width = 2
	case elf.R_AARCH64_JUMP26, elf.R_AARCH64_CONDBR19, elf.R_AARCH64_TSTBR14:
		out.jump = true
	}
	return out
}

// place returns the offset in the symbol's section that an instruction's operand means. An x86-64 processor counts from
// the end of the instruction, which is the end of the field but for the immediate operand that can follow it: the
// place of such an operand comes out too low by the immediate's size.
func (r *reloc) place(from *section) int64 {
	at := int64(r.sym.value) + r.addend
	if r.fromEnd && from.code() {
		at += int64(r.width)
	}
	return at
}

// isJump reports whether a relocation of code is that of a jump: on x86-64 jmp rel32 (E9) and jcc rel32 (0F 80 to 0F 8F), whose relocations calls
// have, too.
func (r *reloc) isJump(code []byte) bool {
	return r.jump || r.fromEnd && (r.off >= 1 && code[r.off-1] == 0xe9 || r.off >= 2 && code[r.off-2] == 0x0f && code[r.off-1]&0xf0 == 0x80)
}
