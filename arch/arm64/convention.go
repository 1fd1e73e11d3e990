package arm64

import (
	"fmt"

	"hotpatch/arch"
)

// firstVector is the bit of v0 in an [arch.RegSet]. Bits 0 to 30 are x0 to x30, bit 31 is sp. SVE's registers have none but those that
// they share with v0 to v31.
const firstVector = 32

// convention is AAPCS64, 6.1 and 6.4 to 6.8. x8 holds where a result goes that is too large for registers; gcc passes a nested function's chain
// pointer in x18.
//
// Of v8 to v15 calls keep the lower half, which every function restores that writes it. The upper half is lost: they are
// in Scratch, and stand there for that half. A compiler that keeps 16 bytes in one of them, under -fipa-ra, counts on nothing more than that
// the function does not write the register.
var convention = arch.Convention{
	Names: func() (names []string) {
		for i := range SP {
			names = append(names, fmt.Sprintf("x%d", i))
		}
		names = append(names, "sp")
		for i := range 32 {
			names = append(names, fmt.Sprintf("v%d", i))
		}
		return names
	}(),
	Scratch: (1<<19-1)<<0 | 1<<LR | (1<<32-1)<<firstVector,
	Args:    (1<<9-1)<<0 | 1<<18 | (1<<8-1)<<firstVector,
	Result:  (1<<2-1)<<0 | (1<<4-1)<<firstVector,
	General: 1<<firstVector - 1,
	SP:      SP,
	FP:      29,
}
