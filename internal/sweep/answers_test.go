package sweep

import (
	"fmt"
	"math/bits"
)

// class is which version of testdata/sweep/served.c gave an answer: bit v-1 for version v.
type class uint8

// mixed is an answer that no version gives.
const mixed class = 1 << 7

// version is the class of one version's answers.
func version(v int) class { return 1 << (v - 1) }

// versions are how many versions there are.
const versions = 3

func (c class) String() string {
	switch {
	case c == 0:
		return "nothing"
	case c&mixed != 0:
		return "a mixture"
	case bits.OnesCount8(uint8(c)) == 1:
		return fmt.Sprintf("version %d", bits.TrailingZeros8(uint8(c))+1)
	}
	return fmt.Sprintf("versions %03b", uint8(c))
}

// quote is what the function of that name in served.c gives.
func quote(v int, n int64) int64 {
	const golden, other = -0x61c8864680b583eb, -0x3d4d51c2d82b14b1 // the constants of served.c, as signed numbers
	switch v {
	case 1:
		key := n*3 + 1
		return (((n+key)*golden ^ key ^ 0x5a5a) + n) ^ 0x1111
	case 2:
		key, scale := n*5+2, n>>3
		return ((n-scale)*golden + (key + 0x333 ^ (key^n)<<7) - key) ^ 0x2222
	}
	scale, key, price := n>>1, n*7+3, n^0x77
	return (((key+scale)^(price-n)<<9)*other + price) ^ 0x3333
}

// judge says which version gives an answer.
func judge(n, answer int64) class {
	for v := 1; v <= versions; v++ {
		if quote(v, n) == answer {
			return version(v)
		}
	}
	return mixed
}
