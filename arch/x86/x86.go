// Package x86 describes x86-64 in 64-bit mode as an [arch.Arch].
//
// The decoder is its own. It knows lengths, the positions of ModRM,
// displacement and immediate, what an instruction does with a memory operand
// that could name a global, and where control goes; it does not name operands.
// It is driven by tables of opcodes: the legacy maps, VEX, EVEX and XOP. What
// stands in no table is [ErrUnknown]: there is no guess of a length. Text for
// people comes from golang.org/x/arch, where that agrees with the decoder.
//
// Sources, where a comment names them: Intel SDM (325383), AMD APM (24592 to 24594,
// 26568, 26569, 43479), and the x86-64 supplement to the System V ABI.
package x86

import (
	"debug/elf"

	"hotpatch/arch"
)

// Arch is x86-64.
var Arch = &arch.Arch{
	Name:       "x86-64",
	Machine:    elf.EM_X86_64,
	PtrSize:    8,
	MaxInst:    maxInst,
	InstAlign:  1,
	DecodeInto: DecodeInto,
	Canon:      Canon,
	Relax:      Relax,
	Detour:     Detour,
	Outline:    Outline,
	Aligned:    Aligned,
	IsNop:      IsNop,
	Text:       text,
	CallBefore: callBefore,
	Effects:    Effects,
	Transfer:   Transfer,
	Dynamic:    dynamic,
	Link:       link,
	PLTStub:    pltStub,
	Unlocked:   unlocked,
	TLSGeneral: generalDynamic,
	Aim:        aim,
	Displace:   displace,
	FieldReloc: fieldReloc,
	Helper:     helper,
	Call:       convention,
	Jump:       jump,
	DWARF:      dwarf,
	Relocs:     relocs,
	MaxPage:    4 << 10,
	Trap:       []byte{0xcc},                                          // int3
	Breakpoint: arch.Pattern{Mask: []byte{0xff}, Value: []byte{0xcc}}, // int3
	UserEnd:    1<<47 - 4096,                                          // with 47 bits (Documentation/arch/x86/x86_64/5level-paging.rst)
	RedZone:    128,
}

// dwarf is figure 3.36 of the x86-64 supplement to the System V ABI; which
// registers calls preserve is its figure 3.4.
var dwarf = arch.DWARF{
	NumRegs: 17,
	SP:      7,
	RA:      16,
	Names: []string{
		"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
	},
	Saved: []bool{3: true, 6: true, 7: true, 12: true, 13: true, 14: true, 15: true, 16: false},
}
