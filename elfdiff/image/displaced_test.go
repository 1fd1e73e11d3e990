package image

import (
	"debug/elf"
	"slices"
	"testing"

	"hotpatch/arch/machines"
)

// TestDisplaced asks which constants are added to the address that the first instruction puts into x1, and to an index.
func TestDisplaced(t *testing.T) {
	const (
		ret    = 0xd65f03c0
		addX   = 0x8b000821 // add x1, x1, x0, lsl #2
		load44 = 0xb9402c20 // ldr w0, [x1, #44]
		loop   = 0xb5ffffc2 // cbnz x2, two instructions back
	)
	for _, c := range []struct {
		name string
		code []uint32 // behind adr x1, .
		want []int64
	}{
		{name: "no index", code: []uint32{load44}},
		{name: "add; ldr w0, [x1, #44]", code: []uint32{addX, load44}, want: []int64{44}},
		{name: "add; ldr w0, [x1]", code: []uint32{addX, 0xb9400020}},
		{name: "add x1, x0, x1; ldr w0, [x1, #44]", code: []uint32{0x8b010001, load44}, want: []int64{44}},
		{name: "sub x1, x1, x0; ldr w0, [x1, #44]", code: []uint32{0xcb000021, load44}, want: []int64{44}},
		{name: "sub x1, x0, x1; ldr w0, [x1, #44]: a difference", code: []uint32{0xcb010001, load44}},
		{name: "madd x1, x0, x2, x1; ldr w0, [x1, #44]", code: []uint32{0x9b020401, load44}, want: []int64{44}},
		{name: "add x1, x1, #16; ldr w0, [x1, x0, lsl #2]", code: []uint32{0x91004021, 0xb8607820}, want: []int64{16}},
		{name: "add; add x1, x1, #96; ldr w0, [x1, #44]", code: []uint32{addX, 0x91018021, load44}, want: []int64{96, 140}},
		{name: "add; add x0, x1, #16", code: []uint32{addX, 0x91004020}, want: []int64{16}},
		{name: "add; str x1, [sp, #8]; ldr x3, [sp, #8]; ldr w0, [x3, #44]", code: []uint32{addX, 0xf90007e1, 0xf94007e3, 0xb9402c60}, want: []int64{44}},
		{name: "ldr x3, [sp, #8]; ldr w0, [x3, #44]; add; str x1, [sp, #8]; loop", want: []int64{44},
			code: []uint32{0xd503201f, 0xf94007e3, 0xb9402c60, addX, 0xf90007e1, 0xb5ffff82}},
		{name: "add; mov x1, x0", code: []uint32{addX, 0xaa0003e1, load44}},
		{name: "add; mov x3, x1; bl; ldr w0, [x3, #44]: what is known of the callee (-fipa-ra)", code: []uint32{addX, 0xaa0103e3, 0x94000000, 0xb9402c60}, want: []int64{44}},
		{name: "add; blr x2; ldr w0, [x1, #44]", code: []uint32{addX, 0xd63f0040, load44}},
		{name: "ldr w0, [x1], #4; cbnz x2: a walk", code: []uint32{0xd503201f, 0xb8404420, loop}},
		{name: "ldr w0, [x1, #4]!; cbnz x2", code: []uint32{0xd503201f, 0xb8404c20, loop}},
		{name: "ldr w0, [x1, #172]; add x1, x1, #4; cbnz x2: a walk beside", code: []uint32{0xd503201f, 0xb940ac20, 0x91001021, 0xb5ffffa2}, want: []int64{172}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := machines.Lookup(elf.EM_AARCH64)
			if err != nil {
				t.Fatal(err)
			}
			b := decodedBody(t, a, words(append(append([]uint32{0x10000001}, c.code...), ret)...))
			b.Atom = &Atom{Name: "f", Size: uint64(len(b.Code))}
			var got []int64
			for _, x := range (&Image{Arch: a}).Displaced(b, &Ref{Kind: RefAddr}) {
				if !slices.Contains(got, x.Disp) {
					got = append(got, x.Disp)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
