package arm64

import (
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
)

// A gate leads to one of two codes, as a word of memory says:
//
//	movz x16, #word        the 16 bits of its address from bit 0 on
//	movk x16, #word >> 16, lsl #16
//	movk x16, #word >> 32, lsl #32
//	movk x16, #word >> 48, lsl #48
//	ldr  w16, [x16]
//	cbz  w16, .+8          over the next one
//	b    set
//
// Nothing is passed to a function in x16, which the linker may use in any branch to it (AAPCS64, 6.1.1), so that compilers count it as changed
// by any call, under -fipa-ra, too. No flag changes.
const gateLen = 7 * InstLen

const (
	wordMOVZ = 0xd2800000 // movz x0, #0
	wordMOVK = 0xf2800000 // movk x0, #0
	wordLDRW = 0xb9400000 // ldr w0, [x0, #0]
	wordCBZ  = 0x34000000 // cbz w0, .
)

// gate returns the code of a gate: [arch.Jump.Gate].
func gate(at, flag, set arch.Addr) ([]byte, error) {
	b, err := branchWord(wordB, at+gateLen-InstLen, set)
	if err != nil {
		return nil, fmt.Errorf("gate at %#x: %w", uint64(at), err)
	}
	code := binary.LittleEndian.AppendUint32(nil, wordMOVZ|uint32(flag&0xffff)<<5|x16)
	for i := uint32(1); i < 4; i++ {
		code = binary.LittleEndian.AppendUint32(code, wordMOVK|i<<21|uint32(flag>>(16*i)&0xffff)<<5|x16)
	}
	const over = 2 * InstLen
	for _, w := range []uint32{wordLDRW | x16<<5 | x16, wordCBZ | over/InstLen<<5 | x16, b} {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	return code, nil
}
