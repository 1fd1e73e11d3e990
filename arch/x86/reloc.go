package x86

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"

	"hotpatch/arch"
)

// relocs is the part of table 4.9 of the x86-64 supplement to the System V ABI
// that a patch file uses.
var relocs = relocTable([]arch.Reloc{
	{Type: uint32(elf.R_X86_64_64), Kind: arch.RelocAbs, Size: 8, Put: put64},
	{Type: uint32(elf.R_X86_64_PC32), Kind: arch.RelocPC, Size: 4, Put: putInt32},
	{Type: uint32(elf.R_X86_64_PLT32), Kind: arch.RelocPLT, Size: 4, Put: putInt32},
	{Type: uint32(elf.R_X86_64_GOTPCREL), Kind: arch.RelocGOTPC, Size: 4, Put: putInt32},
	{Type: uint32(elf.R_X86_64_32), Kind: arch.RelocAbs, Size: 4, Put: putUint32},
	{Type: uint32(elf.R_X86_64_32S), Kind: arch.RelocAbs, Size: 4, Put: putInt32},
	{Type: uint32(elf.R_X86_64_PC64), Kind: arch.RelocPC, Size: 8, Put: put64},
	{Type: uint32(elf.R_X86_64_GOTPCRELX), Kind: arch.RelocGOTPC, Size: 4, Put: putInt32},
	{Type: uint32(elf.R_X86_64_REX_GOTPCRELX), Kind: arch.RelocGOTPC, Size: 4, Put: putInt32},
})

// relocTable names the relocations and indexes them by type.
func relocTable(list []arch.Reloc) map[uint32]arch.Reloc {
	table := make(map[uint32]arch.Reloc, len(list))
	for _, r := range list {
		r.Name = elf.R_X86_64(r.Type).String()
		table[r.Type] = r
	}
	return table
}

// fieldReloc is [arch.Arch.FieldReloc]. A field of 4 bytes with an address may be one of which the processor extends the sign, or
// none: only what is right for both will do. What is relative counts from the end of the instruction.
func fieldReloc(_ []byte, in *arch.Inst, op int, kind arch.RelocKind) (typ uint32, adjust int64, ok bool) {
	off, size := int(in.BrOff), int(in.BrSize)
	if op != arch.BranchOp {
		off, size = int(in.Ops[op].Off), int(in.Ops[op].Size)
	}
	toEnd := int64(in.Len - off)
	switch {
	case kind == arch.RelocAbs && size == 8:
		return uint32(elf.R_X86_64_64), 0, true
	case kind == arch.RelocAbs && size == 4:
		return uint32(elf.R_X86_64_32S), 0, true
	case kind == arch.RelocPC && size == 4:
		return uint32(elf.R_X86_64_PC32), -toEnd, true
	case kind == arch.RelocPLT && size == 4:
		return uint32(elf.R_X86_64_PLT32), -toEnd, true
	case kind == arch.RelocGOTPC && size == 4:
		return uint32(elf.R_X86_64_GOTPCREL), -toEnd, true
	}
	return 0, 0, false
}

func put64(field []byte, v int64) error {
	if len(field) < 8 {
		return fmt.Errorf("relocated field has %d bytes, needs 8", len(field))
	}
	binary.LittleEndian.PutUint64(field, uint64(v))
	return nil
}

func putInt32(field []byte, v int64) error { return put32(field, v, math.MinInt32, math.MaxInt32) }

func putUint32(field []byte, v int64) error { return put32(field, v, 0, math.MaxUint32) }

func put32(field []byte, v, lo, hi int64) error {
	if len(field) < 4 {
		return fmt.Errorf("relocated field has %d bytes, needs 4", len(field))
	}
	if v < lo || v > hi {
		return fmt.Errorf("value %#x is not within %#x to %#x", v, lo, hi)
	}
	binary.LittleEndian.PutUint32(field, uint32(v))
	return nil
}
