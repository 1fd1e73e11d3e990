package image

import (
	"debug/elf"
	"testing"

	"hotpatch/arch/machines"
)

// TestAddressesOnArm64 asks what the uses of an address show that the first instruction puts into x19.
func TestAddressesOnArm64(t *testing.T) {
	const ret = 0xd65f03c0
	for _, c := range []struct {
		name     string
		code     []uint32 // behind adr x19, .
		bound    BoundUse
		unplain  bool
		escapes  bool
		writes   bool
		accesses int // that are certain
	}{
		{name: "ldr x0, [x19, #8]", code: []uint32{0xf9400660}, bound: BoundInside, accesses: 1},
		{name: "ldr x19, [x19]", code: []uint32{0xf9400273}, bound: BoundInside, accesses: 1},
		{name: "ldr x0, [x19, #-8]!", code: []uint32{0xf85f8e60}, bound: BoundBelow, unplain: true, accesses: 1},
		{name: "ldr x0, [x19], #8", code: []uint32{0xf8408660}, bound: BoundInside, unplain: true, accesses: 1},
		{name: "ldp x0, x1, [x19, #-16]", code: []uint32{0xa97f0660}, bound: BoundBelow, accesses: 1},
		{name: "sub x19, x19, #8; ldr x0, [x19]", code: []uint32{0xd1002273, 0xf9400260}, bound: BoundBelow, unplain: true, accesses: 1},
		{name: "cmp x0, x19", code: []uint32{0xeb13001f}, bound: BoundCompared, unplain: true},
		{name: "ccmp x0, x19, #0, ne", code: []uint32{0xfa531000}, bound: BoundCompared, unplain: true},
		{name: "sub x0, x19, x0", code: []uint32{0xcb000260}, bound: BoundCompared, unplain: true},
		{name: "sub x19, x19, x0", code: []uint32{0xcb000273}, bound: BoundCompared, unplain: true},
		{name: "sub w0, w19, w0", code: []uint32{0x4b000260}, bound: BoundCompared, unplain: true},
		{name: "sub x0, x19, #16", code: []uint32{0xd1004260}, bound: BoundCompared, unplain: true},
		{name: "neg x1, x0; ldr x0, [x19, x1]", code: []uint32{0xcb0003e1, 0xf8616a60}, bound: BoundCompared, unplain: true},
		{name: "mov w1, #-4; ldr w0, [x19, w1, sxtw]", code: []uint32{0x12800061, 0xb861ca60}, bound: BoundCompared, unplain: true},
		{name: "mov x1, #-4; ldr x0, [x19, x1]", code: []uint32{0x92800061, 0xf8616a60}, bound: BoundBelow, unplain: true},
		{name: "ldr x0, [x19, x1]; adds x1, x1, #4; b.ne .", code: []uint32{0xf8616a60, 0xb1001021, 0x54000001}, bound: BoundCompared, unplain: true},
		{name: "ldr x0, [x19, x1]; add x1, x1, #4; cmp x2, x3; cbnz x1, .", code: []uint32{0xf8616a60, 0x91001021, 0xeb03005f, 0xb5000001}, bound: BoundCompared,
			unplain: true},
		{name: "prfm pldl1keep, [x19, #256]", code: []uint32{0xf9808260}},
		{name: "ld1 {v0.16b}, [x19], #16", code: []uint32{0x4cdf7260}, bound: BoundInside, unplain: true, accesses: 1},
		{name: "fmov d0, x19", code: []uint32{0x9e670260}, unplain: true, escapes: true},
		{name: "str x19, [x0]", code: []uint32{0xf9000013}, escapes: true},
		{name: "str w19, [x0]", code: []uint32{0xb9000013}, unplain: true, escapes: true},
		{name: "stp w19, w1, [x0]", code: []uint32{0x29000413}, unplain: true, escapes: true},
		{name: "str xzr, [x19]", code: []uint32{0xf900027f}, bound: BoundInside, writes: true, accesses: 1},
		{name: "stlr x0, [x19]", code: []uint32{0xc89ffe60}, bound: BoundInside, writes: true, accesses: 1},
		{name: "swp x0, x2, [x19]", code: []uint32{0xf8208262}, bound: BoundInside, writes: true, accesses: 1},
		{name: "stp x0, x19, [sp, #16]; ldr x1, [sp, #24]", code: []uint32{0xa9014fe0, 0xf9400fe1}, unplain: true, escapes: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := machines.Lookup(elf.EM_AARCH64)
			if err != nil {
				t.Fatal(err)
			}
			im := &Image{Arch: a}
			b := decodedBody(t, a, words(append(append([]uint32{0x10000013}, c.code...), ret)...))
			b.Atom = &Atom{Name: "f", Size: uint64(len(b.Code))}
			if got := im.BoundUseAt(b, 0); got != c.bound {
				t.Errorf("bound %v, want %v", got, c.bound)
			}
			r := &Ref{Kind: RefAddr}
			use := im.AddressUse(b, r)
			if use.Plain == c.unplain || len(use.Accessed) != c.accesses {
				t.Errorf("use %+v", use)
			}
			if f := im.PointerFlow(b, r); f.Escapes != c.escapes || f.Writes != c.writes {
				t.Errorf("flow %+v", f)
			}
		})
	}
}
