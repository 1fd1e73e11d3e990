package arm64

import (
	"encoding/binary"

	"hotpatch/arch"
)

// Relax appends the canonical bytes that the instruction would have if the linker had relaxed it: [arch.Arch.Relax]. Linkers
// relax pairs of instructions, of which this tells one at a time:
//
//	               as compiled                  relaxed
//	RelaxPC, Abs   adrp x0, page of slot        adrp x0, page of sym
//	               ldr  x0, [x0, low of slot]   add  x0, x0, low of sym
//	RelaxTLS       adrp x0, page of slot        movz x0, offset >> 16, lsl 16
//	               ldr  x0, [x0, low of slot]   movk x0, offset & 0xffff
//
// The caller has to know that the two are a pair: that the ADRP is where the value of the base register comes from, wherever it
// stands. The former is lld's, where they are neighbours; GNU ld, gold and mold 1.10 leave them. The latter is done to programs
// by all but mold. Images for a fixed address have the same forms as others. What is relaxed further because the place is near,
// [arch.Arch.Widen] takes back. A TLS descriptor's four instructions are relaxed to the latter with NOPs, which no single one of
// them tells: such functions differ.
func Relax(dst, code []byte, in *arch.Inst, form arch.Relaxation) ([]byte, bool) {
	const (
		add   = 0x91000000 // ADD Xd, Xn, #0
		movz1 = 0xd2a00000 // MOVZ Xd, #0, LSL #16
		movk0 = 0xf2800000 // MOVK Xd, #0
	)
	w := binary.LittleEndian.Uint32(code)
	rd := w & bitsRd
	isLoad := w&0xffc00000 == 0xf9400000 && field(w, 5, 5) == rd // LDR Xd, [Xd, #imm]
	isPage := in.NumOps == 1 && in.Ops[0].Kind == arch.OpPage
	switch {
	case rd == bitsRd || !isLoad && !isPage: // XZR
		return dst, false
	case form == arch.RelaxTLS && isPage:
		w = movz1 | rd
	case form == arch.RelaxTLS:
		w = movk0 | rd
	case isPage:
		return Canon(dst, code, in), true
	default:
		w = add | rd<<5 | rd
	}
	return binary.LittleEndian.AppendUint32(dst, w), true
}

// Detour is [arch.Arch.Detour], which there is not: no single instruction names a place, but ADR and literals, which compilers do
// not use for variables. What ADRP and its users name has to be within 4 GiB.
func Detour([]byte, *arch.Inst, arch.Addr, arch.Addr) (site, detour []byte, field int, ok bool) {
	return nil, nil, 0, false
}
