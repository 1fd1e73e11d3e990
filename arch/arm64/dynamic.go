package arm64

import (
	"debug/elf"

	"hotpatch/arch"
)

// Dynamic describes the dynamic relocations of ELF for the Arm 64-bit Architecture (aaelf64, "Dynamic relocations" and "Static data
// relocations"): [arch.Arch.Dynamic].
func Dynamic(typ uint32) (arch.DynReloc, bool) {
	r, ok := arch.DynReloc{Size: 8}, true
	switch elf.R_AARCH64(typ) {
	case elf.R_AARCH64_NONE, elf.R_AARCH64_NULL:
		r.Size = 0
	case elf.R_AARCH64_ABS64:
		r.Kind = arch.DynAbs
	case elf.R_AARCH64_GLOB_DAT:
		r.Kind = arch.DynGlobDat
	case elf.R_AARCH64_JUMP_SLOT:
		r.Kind = arch.DynJumpSlot
	case elf.R_AARCH64_RELATIVE:
		r.Kind = arch.DynRelative
	case elf.R_AARCH64_IRELATIVE:
		r.Kind = arch.DynIRelative
	case elf.R_AARCH64_COPY:
		r.Kind, r.Size = arch.DynCopy, 0
	case elf.R_AARCH64_TLS_TPREL64:
		r.Kind = arch.DynTPOff
	case elf.R_AARCH64_TLS_DTPMOD64:
		r.Kind = arch.DynDTPMod
	case elf.R_AARCH64_TLS_DTPREL64:
		r.Kind = arch.DynDTPOff
	case elf.R_AARCH64_TLSDESC:
		r.Kind, r.Size = arch.DynTLSDesc, 16
	default:
		return arch.DynReloc{}, false
	}
	return r, ok
}
