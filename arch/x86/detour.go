package x86

import "hotpatch/arch"

// Detour rewrites a load of a 64-bit register from a PC-relative place that is out of reach:
// [arch.Arch.Detour].
//
//	mov sym(%rip), %r        jmp detour; nop
//	...                      ...
//	               detour:   mov slot(%rip), %r
//	                         mov (%r), %r
//	                         jmp back
//
// No flag and no other register changes, and nothing is pushed, as with the load itself.
func Detour(code []byte, in *arch.Inst, from, to arch.Addr) (site, detour []byte, field int, ok bool) {
	const (
		rexW   = 0x48
		load   = 0x8b // mov r64, r/m64 (SDM volume 2, MOV)
		rip    = 0x05 // ModRM: mod 0, rm 5
		field0 = 3    // rex, opcode, ModRM
	)
	if in.Len != 7 || len(code) < 7 || code[0]&^4 != rexW || code[1] != load || code[2]&0xc7 != rip {
		return nil, nil, 0, false
	}
	reg := code[2] >> 3 & 7
	detour = append(detour, code[0], load, code[2], 0, 0, 0, 0)
	// The register is the base now: its high bit moves to REX.B as well. rsp and r12 as a base
	// need a SIB byte, rbp and r13 a displacement (SDM volume 2, table 2-5).
	detour = append(detour, code[0]|code[0]>>2&1, load)
	switch reg {
	case 4:
		detour = append(detour, reg<<3|4, 0x24)
	case 5:
		detour = append(detour, 0x40|reg<<3|5, 0)
	default:
		detour = append(detour, reg<<3|reg)
	}
	back, err := jump.Encode(to+arch.Addr(len(detour)), from+arch.Addr(in.Len))
	if err != nil {
		return nil, nil, 0, false
	}
	site, err = jump.Encode(from, to)
	if err != nil {
		return nil, nil, 0, false
	}
	return append(site, 0x66, 0x90), append(detour, back...), field0, true
}
