package arm64

import (
	"debug/elf"
	"encoding/binary"
	"testing"

	"hotpatch/arch"
)

func word(w uint32) []byte { return binary.LittleEndian.AppendUint32(nil, w) }

func TestFieldReloc(t *testing.T) {
	for _, c := range []struct {
		name string
		word uint32
		op   int
		kind arch.RelocKind
		want elf.R_AARCH64 // R_AARCH64_NONE: there is none
	}{
		{name: "b", word: 0x14000000, op: arch.BranchOp, kind: arch.RelocPC, want: elf.R_AARCH64_JUMP26},
		{name: "bl", word: 0x94000000, op: arch.BranchOp, kind: arch.RelocPC, want: elf.R_AARCH64_CALL26},
		{name: "bl of an import", word: 0x94000000, op: arch.BranchOp, kind: arch.RelocPLT, want: elf.R_AARCH64_CALL26},
		{name: "b.eq", word: 0x54000000, op: arch.BranchOp, kind: arch.RelocPC, want: elf.R_AARCH64_CONDBR19},
		{name: "b.eq to an import", word: 0x54000000, op: arch.BranchOp, kind: arch.RelocPLT},
		{name: "tbnz", word: 0x37000000, op: arch.BranchOp, kind: arch.RelocPC, want: elf.R_AARCH64_TSTBR14},
		{name: "cbgt", word: 0x74020001, op: arch.BranchOp, kind: arch.RelocPC},
		{name: "adr", word: 0x10000000, kind: arch.RelocPC},
		{name: "ldr literal", word: 0x58000000, kind: arch.RelocPC},
		{name: "ldr literal of a slot", word: 0x58000000, kind: arch.RelocGOTPC},
		{name: "adrp", word: 0x90000000, kind: arch.RelocPage, want: elf.R_AARCH64_ADR_PREL_PG_HI21},
		{name: "adrp of a slot", word: 0x90000000, kind: arch.RelocGOTPage, want: elf.R_AARCH64_ADR_GOT_PAGE},
		{name: "add x0, x1, #0", word: 0x91000020, kind: arch.RelocAbs, want: elf.R_AARCH64_ADD_ABS_LO12_NC},
		{name: "add w0, w1, #0", word: 0x11000020, kind: arch.RelocAbs},
		{name: "add x0, x1, #0, lsl #12", word: 0x91400020, kind: arch.RelocAbs},
		{name: "ldrb w0, [x1]", word: 0x39400020, kind: arch.RelocAbs, want: elf.R_AARCH64_LDST8_ABS_LO12_NC},
		{name: "strh w0, [x1]", word: 0x79000020, kind: arch.RelocAbs, want: elf.R_AARCH64_LDST16_ABS_LO12_NC},
		{name: "ldrsw x0, [x1]", word: 0xb9800020, kind: arch.RelocAbs, want: elf.R_AARCH64_LDST32_ABS_LO12_NC},
		{name: "ldr d0, [x1]", word: 0xfd400020, kind: arch.RelocAbs, want: elf.R_AARCH64_LDST64_ABS_LO12_NC},
		{name: "str q0, [x1]", word: 0x3d800020, kind: arch.RelocAbs, want: elf.R_AARCH64_LDST128_ABS_LO12_NC},
		{name: "ldur x0, [x1]", word: 0xf8400020, kind: arch.RelocAbs},
		{name: "ldp x0, x1, [x2]", word: 0xa9400440, kind: arch.RelocAbs},
		{name: "ldr of a slot", word: 0xf9400020, kind: arch.RelocGOTAbs, want: elf.R_AARCH64_LD64_GOT_LO12_NC},
		{name: "ldr of half a slot", word: 0xb9400020, kind: arch.RelocGOTAbs},
		{name: "add of a slot", word: 0x91000020, kind: arch.RelocGOTAbs},
		{name: "add of a thread's offset, high", word: 0x91400020, kind: arch.RelocTP, want: elf.R_AARCH64_TLSLE_ADD_TPREL_HI12},
		{name: "add of a thread's offset, low", word: 0x91000020, kind: arch.RelocTP, want: elf.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC},
		{name: "ldr w0 at a thread's offset", word: 0xb9400020, kind: arch.RelocTP, want: 557},
		{name: "movz of a thread's offset", word: 0xd2a00000, kind: arch.RelocTP, want: elf.R_AARCH64_TLSLE_MOVW_TPREL_G1},
		{name: "movk of a thread's offset", word: 0xf2800000, kind: arch.RelocTP, want: elf.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC},
	} {
		in, err := Arch.Decode(word(c.word))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		typ, adjust, ok := fieldReloc(word(c.word), &in, c.op, c.kind)
		if ok != (c.want != elf.R_AARCH64_NONE) || elf.R_AARCH64(typ) != c.want || adjust != 0 {
			t.Errorf("%s: %v, %d, %v; want %v", c.name, elf.R_AARCH64(typ), adjust, ok, c.want)
		}
	}
}

// TestDisplace: what is rewritten decodes as the same with the new displacement.
func TestDisplace(t *testing.T) {
	for _, c := range []struct {
		name string
		word uint32
		good []int64
		bad  []int64
	}{
		{name: "add x0, x1", word: 0x91000020, good: []int64{0, 1, 4095, 4096, 0xfff000, -1, -4095, -8192}, bad: []int64{4097, -4097, 0x1000000}},
		{name: "sub x0, x1, lsl 12", word: 0xd1400420, good: []int64{8, -8, 4096}, bad: []int64{4100}},
		{name: "ldrb", word: 0x39400020, good: []int64{0, 4095, -256, -1}, bad: []int64{4096, -257}},
		{name: "ldr w", word: 0xb9400020, good: []int64{0, 4, 16380, 255, -256, 3}, bad: []int64{16384, 258, -260}},
		{name: "ldur x", word: 0xf85f8020, good: []int64{8, 32760, -8, 9}, bad: []int64{257, 32768}},
		{name: "ldrsw", word: 0xb9800020, good: []int64{4, -4}, bad: []int64{-400}},
		{name: "str q", word: 0x3d800020, good: []int64{65520, -16, 8}, bad: []int64{65536, 264}},
		{name: "ldp x", word: 0xa9400440, good: []int64{504, -512, 0}, bad: []int64{512, 4, -520}},
		{name: "stp w", word: 0x29000440, good: []int64{252, -256}, bad: []int64{256, 2}},
		{name: "ldr with writeback", word: 0xf8408c20, bad: []int64{8, 0}},
		{name: "ldr post-indexed", word: 0xf8408420, bad: []int64{8}},
		{name: "adrp", word: 0x90000000, bad: []int64{0}},
	} {
		was, err := Decode(word(c.word))
		if err != nil {
			t.Fatal(err)
		}
		for _, disp := range c.good {
			code := word(c.word)
			in, _ := Arch.Decode(code)
			if err := displace(code, &in, disp); err != nil {
				t.Errorf("%s, %d: %v", c.name, disp, err)
				continue
			}
			now, err := Decode(code)
			if now.Imm != disp {
				t.Errorf("%s, %d: has %d, %v", c.name, disp, now.Imm, err)
			}
			now.Imm = was.Imm
			if now != was {
				t.Errorf("%s, %d: %+v, was %+v", c.name, disp, now, was)
			}
		}
		for _, disp := range c.bad {
			code := word(c.word)
			in, _ := Arch.Decode(code)
			if err := displace(code, &in, disp); err == nil || binary.LittleEndian.Uint32(code) != c.word {
				t.Errorf("%s, %d: %v, %x; want an error and the instruction as it was", c.name, disp, err, code)
			}
		}
	}
}

func TestWiden(t *testing.T) {
	for _, c := range []struct {
		name string
		code []uint32
		want []uint32 // nil: nothing is to be widened
	}{
		{name: "nop; adr", code: []uint32{nop, 0x30012345}, want: []uint32{0x90000005, 0x910000a5}},
		{name: "adr", code: []uint32{0x70ffffe7, nop}, want: []uint32{0x90000007}},
		{name: "nop; nop", code: []uint32{nop, nop}},
		{name: "nop at the end", code: []uint32{nop}},
		{name: "adr xzr", code: []uint32{nop, 0x1000001f}},
		{name: "adrp", code: []uint32{0x90000005}},
	} {
		var code, want []byte
		for _, w := range c.code {
			code = append(code, word(w)...)
		}
		for _, w := range c.want {
			want = append(want, word(w)...)
		}
		if got, ok := widen(code); ok != (c.want != nil) || string(got) != string(want) {
			t.Errorf("%s: % x, %v; want % x", c.name, got, ok, want)
		}
	}
}
