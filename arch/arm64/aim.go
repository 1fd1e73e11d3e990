package arm64

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"hotpatch/arch"
)

// aim is [arch.Arch.Aim]: every branch counts words from itself, in a signed field (Arm ARM, C6.2, B, B.cond, CBZ, TBZ, CB<cc>).
func aim(code []byte, in *arch.Inst, to int64) error {
	if in.BrSize == 0 || len(code) < InstLen {
		return fmt.Errorf("no direct branch")
	}
	w := binary.LittleEndian.Uint32(code)
	mask := branchBits(w)
	lo, n := bits.TrailingZeros32(mask), bits.OnesCount32(mask)
	v := to / InstLen
	switch {
	case to%InstLen != 0:
		return fmt.Errorf("displacement %#x is no multiple of %d", to, InstLen)
	case v < -1<<(n-1) || v >= 1<<(n-1):
		return fmt.Errorf("displacement %#x does not fit in %d bits", to, n+2)
	}
	binary.LittleEndian.PutUint32(code, w&^mask|uint32(v)<<lo&mask)
	return nil
}
