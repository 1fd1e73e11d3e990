package arm64

import (
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
)

// branchReach is the largest distance of a B or BL forward, in bytes; back it is InstLen more (Arm ARM, C6.2, B).
const branchReach = 1<<27 - InstLen

// wordB is `b .`.
const wordB = 0x14000000

// encodeJump returns `b to` for address from.
func encodeJump(from, to arch.Addr) ([]byte, error) {
	w, err := branchWord(wordB, from, to)
	if err != nil {
		return nil, fmt.Errorf("jump from %#x to %#x: %w", uint64(from), uint64(to), err)
	}
	return binary.LittleEndian.AppendUint32(nil, w), nil
}

// branchWord returns a B or BL at from, given as its word without a displacement, that leads to to.
func branchWord(word uint32, from, to arch.Addr) (uint32, error) {
	d := int64(to - from)
	switch {
	case from%InstLen != 0 || to%InstLen != 0:
		return 0, fmt.Errorf("an address is no multiple of %d", InstLen)
	case d < -branchReach-InstLen || d > branchReach:
		return 0, fmt.Errorf("displacement %#x does not fit in 28 bits", d)
	}
	return word | uint32(d/InstLen)&(1<<26-1), nil
}

// recognizeJump decodes what encodeJump returns.
func recognizeJump(from arch.Addr, code []byte) (to arch.Addr, ok bool) {
	if len(code) < InstLen || from%InstLen != 0 {
		return 0, false
	}
	w := binary.LittleEndian.Uint32(code)
	if w>>26 != wordB>>26 {
		return 0, false
	}
	return from + arch.Addr(signed(w, 0, 26)*InstLen), true
}
