package arm64

import (
	"encoding/binary"

	"hotpatch/arch"
)

// Relax appends the canonical bytes that the instruction would have if the linker had relaxed it: [arch.Arch.Relax]. Linkers relax
// pairs of instructions, of which this tells one at a time:
//
//	as compiled                 RelaxPC, RelaxAbs            RelaxNear
//	adrp x0, page of slot       adrp x0, page of sym         (NOP, which is no part of a canonical form)
//	ldr  x0, [x0, low of slot]  add  x0, x0, low of sym      adr x0, sym
//
//	adrp x0, page of sym                                     (NOP)
//	add  x0, x0, low of sym                                  adr x0, sym
//
// The caller has to know that the two are a pair: that the ADRP is where the value of the base register comes from, wherever it stands. lld
// relaxes only neighbours, and goes on from RelaxPC to RelaxNear if the place is within 1 MiB; mold 1.10 relaxes the second pair
// alone; GNU ld and gold do none of this. Images for a fixed address have the same forms as others.
//
// There is no RelaxTLS. Linkers turn initial exec into MOVZ and MOVK, and a TLS descriptor's four instructions into either, with the
// offset as immediates, which are a part of the canonical bytes: such functions compare as different.
func Relax(dst, code []byte, in *arch.Inst, form arch.Relaxation) ([]byte, bool) {
	if in.NumOps == 0 || form == arch.RelaxTLS {
		return dst, false
	}
	const (
		add = 0x91000000 // ADD Xd, Xn, #0
		adr = 0x10000000 // ADR Xd, .
	)
	w := binary.LittleEndian.Uint32(code)
	rd, same := field(w, 0, 5), field(w, 0, 5) == field(w, 5, 5)
	isLoad := w&0xffc00000 == 0xf9400000 && same // LDR Xd, [Xd, #imm]
	isAdd := w&0xffc00000 == add && same
	switch {
	case rd == 31: // XZR, or SP
	case form == arch.RelaxNear && (isLoad || isAdd):
		return binary.LittleEndian.AppendUint32(dst, adr|rd), true
	case form == arch.RelaxNear:
	case isLoad:
		return binary.LittleEndian.AppendUint32(dst, add|rd<<5|rd), true
	case in.Ops[0].Kind == arch.OpPage:
		return Canon(dst, code, in), true
	}
	return dst, false
}

// Detour is [arch.Arch.Detour]: no operand of a single instruction names a place that a program of the small code model could have
// out of reach, and what ADRP and its users name together is 4 GiB away at most, as the payload is.
func Detour([]byte, *arch.Inst, arch.Addr, arch.Addr) (site, detour []byte, field int, ok bool) {
	return nil, nil, 0, false
}
