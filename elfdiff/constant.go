package elfdiff

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// constant shows a constant without a symbol as a person would write it: as the integer or the floating-point
// number that its bytes most likely are, else as bytes.
func constant(b []byte) string {
	var v uint64
	var f float64
	switch len(b) {
	case 4:
		v = uint64(binary.LittleEndian.Uint32(b))
		f = float64(math.Float32frombits(uint32(v)))
	case 8:
		v = binary.LittleEndian.Uint64(b)
		f = math.Float64frombits(v)
	default:
		return fmt.Sprintf("%#x", b)
	}
	const small, large = 1e-9, 1e12 // beyond, bytes are seldom meant as a number
	switch a := math.Abs(f); {
	case v < 1<<20:
		return strconv.FormatUint(v, 10)
	case a >= small && a <= large:
		return strconv.FormatFloat(f, 'g', -1, len(b)*8)
	}
	return fmt.Sprintf("%#x", v)
}
