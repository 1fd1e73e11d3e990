package arm64

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"testing"

	"hotpatch/arch"
)

// TestPLTStub: where stubs start, and which slot they jump through.
func TestPLTStub(t *testing.T) {
	const (
		adrp  = 0xb0000010 // adrp x16, the next page
		ldr   = 0xf9400a11 // ldr x17, [x16, #16]
		add   = 0x91004210 // add x16, x16, #16
		br    = 0xd61f0220 // br x17
		bti   = 0xd503245f // bti c
		autia = 0xd503219f // autia1716
	)
	for _, c := range []struct {
		name   string
		code   []uint32
		off    int
		slot   arch.ImageAddr // with the code at 0x4000; 0: no stub
		starts []int
	}{
		{name: "ld", code: []uint32{adrp, ldr, add, br}, off: 12, slot: 0x5010, starts: []int{0}},
		{name: "authenticated", code: []uint32{adrp, ldr, add, autia, br}, off: 16, slot: 0x5010, starts: []int{0}},
		{name: "with a landing pad", code: []uint32{bti, adrp, ldr, add, br}, off: 16, slot: 0x5010, starts: []int{4, 0}},
		{name: "another register", code: []uint32{adrp, ldr, add, 0xd61f0200}, off: 12},
		{name: "no page", code: []uint32{ldr, add, br}, off: 8},
		{name: "no load", code: []uint32{adrp, add, br}, off: 8},
		{name: "behind the code", code: []uint32{br}, off: 4},
	} {
		var code []byte
		for _, w := range c.code {
			code = binary.LittleEndian.AppendUint32(code, w)
		}
		slot, starts, ok := pltStub(code, 0x4000, c.off)
		if slot != c.slot || ok != (c.slot != 0) || !slices.Equal(starts, c.starts) {
			t.Errorf("%s: slot %#x, starts %v, %v; want %#x, %v", c.name, uint64(slot), starts, ok, uint64(c.slot), c.starts)
		}
	}
}

// TestLink: what types of link-time relocations stand for.
func TestLink(t *testing.T) {
	for _, c := range []struct {
		typ  elf.R_AARCH64
		want arch.LinkReloc
	}{
		{elf.R_AARCH64_ABS64, arch.LinkReloc{Kind: arch.LinkAddress, Size: 8}},
		{elf.R_AARCH64_PREL32, arch.LinkReloc{Kind: arch.LinkAddress, Form: arch.FormPC, Size: 4}},
		{elf.R_AARCH64_CALL26, arch.LinkReloc{Kind: arch.LinkBranch, Form: arch.FormPC, Size: 4}},
		{elf.R_AARCH64_CONDBR19, arch.LinkReloc{Kind: arch.LinkBranch, Form: arch.FormPC, Size: 4}},
		{elf.R_AARCH64_ADR_PREL_PG_HI21, arch.LinkReloc{Kind: arch.LinkAddress, Form: arch.FormPage, Size: 4}},
		{elf.R_AARCH64_ADD_ABS_LO12_NC, arch.LinkReloc{Kind: arch.LinkAddress, Form: arch.FormLow, Size: 4}},
		{elf.R_AARCH64_LDST128_ABS_LO12_NC, arch.LinkReloc{Kind: arch.LinkAddress, Form: arch.FormLow, Size: 4}},
		{elf.R_AARCH64_LD64_GOT_LO12_NC, arch.LinkReloc{Kind: arch.LinkSlot, Form: arch.FormLow, Size: 4}},
		{elf.R_AARCH64_TLSLE_ADD_TPREL_HI12, arch.LinkReloc{Kind: arch.LinkTPOff, Form: arch.FormHigh, Size: 4}},
		{elf.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC, arch.LinkReloc{Kind: arch.LinkTPOff, Form: arch.FormLow, Size: 4}},
		{elf.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21, arch.LinkReloc{Kind: arch.LinkTPOffSlot, Form: arch.FormPage, Size: 4}},
		{elf.R_AARCH64_TLSGD_ADD_LO12_NC, arch.LinkReloc{Kind: arch.LinkTLSPair, Form: arch.FormLow, Size: 4}},
		{elf.R_AARCH64_TLSDESC_ADR_PAGE21, arch.LinkReloc{Kind: arch.LinkTLSDesc, Form: arch.FormPage, Size: 4}},
		{elf.R_AARCH64_TLSDESC_CALL, arch.LinkReloc{Kind: arch.LinkTLSDesc}},
		{elf.R_AARCH64_NONE, arch.LinkReloc{}},
	} {
		if got, ok := link(uint32(c.typ)); got != c.want || !ok {
			t.Errorf("%v: %+v, %v, want %+v", c.typ, got, ok, c.want)
		}
	}
	for i, a := range links {
		for _, b := range links[:i] {
			if a.first <= b.last && b.first <= a.last {
				t.Errorf("types %d to %d and %d to %d overlap", a.first, a.last, b.first, b.last)
			}
		}
	}
	const unknown = 0xffff
	if l, ok := link(unknown); ok {
		t.Errorf("type %d is known as %+v", unknown, l)
	}
}
