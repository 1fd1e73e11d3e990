package arm64

import (
	"debug/elf"
	"fmt"

	"hotpatch/arch"
)

// Arch is arm64: A64 code, little-endian, 64-bit pointers.
var Arch = &arch.Arch{
	Name:       "arm64",
	Machine:    elf.EM_AARCH64,
	PtrSize:    8,
	MaxInst:    InstLen,
	InstAlign:  InstLen,
	DecodeInto: DecodeInto,
	Canon:      Canon,
	Relax:      Relax,
	Detour:     Detour,
	Outline:    Outline,
	Aligned:    Aligned,
	IsNop:      IsNop,
	Text:       text,
	CallBefore: callBefore,
	Aim:        aim,
	Displace:   displace,
	Widen:      widen,
	FieldReloc: fieldReloc,
	Transfer:   Transfer,
	Dynamic:    Dynamic,
	Link:       link,
	PLTStub:    pltStub,
	Pieces:     &pieces,
	Effects:    Effects,
	Helper:     helper,
	Call:       convention,
	Jump:       jump,
	DWARF:      dwarf,
	Unwind:     unwind,
	Relocs:     relocs,
	MaxPage:    64 << 10,
	Trap:       []byte{0, 0, 0, 0}, // udf #0
	Breakpoint: arch.Pattern{Mask: brkMask, Value: brk},
	UserEnd:    1 << 48, // with 48 bits (Documentation/arch/arm64/memory.rst)
	TCB:        16,      // variant I; the two words that aaelf64 reserves, glibc's tcbhead_t
	RedZone:    0,       // AAPCS64, 6.2.2.1, lets nobody use what lies below SP
}

// brk is brk #0, and brkMask what is the same of every one.
var (
	brk     = []byte{0x00, 0x00, 0x20, 0xd4}
	brkMask = []byte{0x1f, 0x00, 0xe0, 0xff}
)

// dwarfRegs are the registers that are tracked: numbers 0 to 32. No frame address and no return address depends on those of
// greater numbers (vector registers, RA_SIGN_STATE, which is not a register).
const dwarfRegs = 33

// dwarf is the table of aadwarf64, 4.1; which registers calls preserve is AAPCS64, 6.1.1.
var dwarf = arch.DWARF{
	NumRegs: dwarfRegs,
	SP:      SP,
	RA:      LR,
	PC:      32,
	RASign:  34,
	VG:      46,
	Names: func() (names []string) {
		for i := range 31 {
			names = append(names, fmt.Sprintf("x%d", i))
		}
		return append(names, "sp", "pc")
	}(),
	Saved: func() []bool {
		saved := make([]bool, dwarfRegs)
		for i := 19; i <= 29; i++ {
			saved[i] = true
		}
		saved[SP] = true
		return saved
	}(),
}
