package references

import "debug/elf"

// role is how the field of a relocation is compared with a reference.
type role uint8

const (
	marker     role = iota // it marks an instruction, and is no reference of its own
	word                   // a word that holds the address S + A
	address                // S + A, or what a slot of it leads to
	distance               // x86-64: S + A - P, where A counts from the field and the reference from the end of the instruction
	page                   // the page of an address, of which the fields of other instructions have the rest: Page(S + A)
	thread                 // a part of a thread-local access, which the linker may have rewritten (ELF Handling For TLS, 5)
	threadPage             // the same, and the page of a slot
)

// roleOf says what a type means in a machine's files: for x86-64 the System V ABI's AMD64 supplement, table 4.9, for arm64 ELF for the Arm
// 64-bit Architecture, 5.7.
func roleOf(machine elf.Machine, typ uint32) role {
	if machine == elf.EM_AARCH64 {
		return roleAArch64(elf.R_AARCH64(typ))
	}
	return roleX86(elf.R_X86_64(typ))
}

func roleX86(t elf.R_X86_64) role {
	switch t {
	case elf.R_X86_64_NONE, elf.R_X86_64_TLSDESC_CALL:
		return marker
	case elf.R_X86_64_64:
		return word
	case elf.R_X86_64_32, elf.R_X86_64_32S:
		return address
	case elf.R_X86_64_TLSGD, elf.R_X86_64_TLSLD, elf.R_X86_64_GOTTPOFF, elf.R_X86_64_GOTPC32_TLSDESC, elf.R_X86_64_DTPOFF32, elf.R_X86_64_TPOFF32:
		return thread
	}
	return distance
}

func roleAArch64(t elf.R_AARCH64) role {
	switch {
	case t == elf.R_AARCH64_NONE || t == elf.R_AARCH64_NULL || t == elf.R_AARCH64_TLSDESC_CALL:
		return marker
	case t == elf.R_AARCH64_ABS64:
		return word
	case t == elf.R_AARCH64_ADR_PREL_PG_HI21 || t == elf.R_AARCH64_ADR_PREL_PG_HI21_NC || t == elf.R_AARCH64_ADR_GOT_PAGE:
		return page
	case t == elf.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21 || t == elf.R_AARCH64_TLSDESC_ADR_PAGE21 || t == elf.R_AARCH64_TLSGD_ADR_PAGE21:
		return threadPage
	case t >= elf.R_AARCH64_TLSGD_ADR_PREL21 && t <= elf.R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC: // 512 to 573: all of TLS
		return thread
	}
	return address
}

// skew reports whether d bytes of A are a matter of how a type counts: for a field relative to the end of its instruction that end's distance
// from the field's start is part of A: 4 bytes and an immediate of 0, 1, 2 or 4.
func (r role) skew(d int64) bool {
	if r != distance {
		return d == 0
	}
	return d == 4 || d == 5 || d == 6 || d == 8
}
