// Package machines finds the architecture of an ELF file.
package machines

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
	"hotpatch/arch/x86"
)

// Lookup returns the architecture for an ELF e_machine.
func Lookup(m elf.Machine) (*arch.Arch, error) {
	switch m {
	case elf.EM_X86_64:
		return x86.Arch, nil
	case elf.EM_AARCH64:
		return arm64.Arch, nil
	}
	return nil, fmt.Errorf("machine %v is not supported (supported: EM_X86_64, EM_AARCH64)", m)
}
