package cfi

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
)

// amd64 is the part of the x86-64 architecture that the package uses (System V ABI,
// x86-64 supplement, figure 3.36), so that its tests depend on no other package.
var amd64 = &arch.Arch{
	Name: "x86-64", Machine: elf.EM_X86_64, PtrSize: 8,
	DWARF: arch.DWARF{
		NumRegs: 17, SP: 7, RA: 16,
		Names: []string{"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
			"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "ra"},
		Saved: []bool{3: true, 6: true, 7: true, 12: true, 13: true, 14: true, 15: true, 16: false},
	},
}

// arm64 is the same for arm64 (AADWARF64 4.1; struct rt_sigframe).
var arm64 = func() *arch.Arch {
	a := &arch.Arch{Name: "arm64", Machine: elf.EM_AARCH64, PtrSize: 8,
		DWARF: arch.DWARF{NumRegs: 33, SP: 31, RA: 30, PC: 32, Saved: make([]bool, 33), RASign: 34, VG: 46}}
	for n := range 31 {
		a.DWARF.Names = append(a.DWARF.Names, fmt.Sprintf("x%d", n))
		a.DWARF.Saved[n] = n >= 19 && n <= 29
	}
	a.DWARF.Names = append(a.DWARF.Names, "sp", "pc")
	for n := range 33 {
		a.Unwind.Signal.Regs = append(a.Unwind.Signal.Regs, int64(312+8*n))
	}
	return a
}()
