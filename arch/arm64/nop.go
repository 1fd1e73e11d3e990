package arm64

import (
	"encoding/binary"

	"hotpatch/arch"
)

// nop is NOP (HINT #0).
const nop = 0xd503201f

// IsNop reports whether the instruction is NOP, with which assemblers and linkers fill: [arch.Arch.IsNop]. No other hint counts.
// BTI, PACIASP and their like do something, YIELD, WFE, CSDB and others tell the processor something, and those that are not
// allocated may do so on the next one. A move of a register to itself is not padding either: nothing emits it as such.
func IsNop(code []byte, in *arch.Inst) bool {
	return in.MayNop && binary.LittleEndian.Uint32(code) == nop
}

// isPadding reports whether b holds nothing but NOP and zero words (UDF #0, the fill of linkers). Of less than a word, at the
// end, only zeros do.
func isPadding(b []byte) bool {
	for ; len(b) >= InstLen; b = b[InstLen:] {
		if w := binary.LittleEndian.Uint32(b); w != nop && w != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// callBefore finds the call that ends at the end of code: [arch.Arch.CallBefore]. All instructions have one length, so that a BL
// is never taken for the end of something else.
func callBefore(code []byte) (arch.CallSite, bool) {
	if len(code) < InstLen {
		return arch.CallSite{}, false
	}
	in, err := Decode(code[len(code)-InstLen:])
	switch {
	case err != nil:
	case in.Flow == arch.FlowCall:
		return arch.CallSite{Len: InstLen, Target: in.Target - InstLen}, true
	case in.Flow == arch.FlowCallInd:
		return arch.CallSite{Len: InstLen, Indirect: true}, true
	}
	return arch.CallSite{}, false
}
