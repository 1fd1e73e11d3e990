package x86

import (
	"testing"

	"hotpatch/arch"
)

// TestEffectsOfZeroing: an instruction that gives zero whatever its operands hold depends on none of them, unless it keeps a part of one.
func TestEffectsOfZeroing(t *testing.T) {
	const two = arch.RegSet(1) << (firstVector + 2)
	for _, c := range []struct {
		name, code string
		depends    bool // on xmm2, which all operands are
	}{
		{name: "pxor xmm2, xmm2", code: "\x66\x0f\xef\xd2"},
		{name: "vpxord zmm2, zmm2, zmm2", code: "\x62\xf1\x6d\x48\xef\xd2"},
		{name: "vpxord zmm2{k1}{z}, zmm2, zmm2", code: "\x62\xf1\x6d\xc9\xef\xd2"},
		{name: "vpxord zmm2{k1}, zmm2, zmm2", code: "\x62\xf1\x6d\x49\xef\xd2", depends: true},
	} {
		in, err := Decode([]byte(c.code))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		x, ok := Effects([]byte(c.code), &in)
		if !ok || x.Write&two == 0 || (x.Read&two != 0) != c.depends || (x.Kill&two == 0) != c.depends {
			t.Errorf("%s: %+v, %t; want a dependence: %t", c.name, x, ok, c.depends)
		}
	}
}
