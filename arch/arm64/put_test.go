package arm64

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math"
	"testing"

	"hotpatch/arch"
)

// Words of instructions without immediates.
const (
	instBL    = 0x94000000
	instBNE   = 0x54000001
	instTBZ   = 0x36180000 // tbz w0, #3
	instADR   = 0x10000001 // adr x1
	instADRP  = 0x90000001 // adrp x1
	instADD   = 0x91000021 // add x1, x1
	instADDHi = 0x91400021 // the same, lsl #12
	instSUB   = 0xd1000021
	instADD32 = 0x11000021 // add w1, w1
	instLDRB  = 0x39400021
	instLDRX  = 0xf9400021
	instLDRQ  = 0x3dc00021
	instLDUR  = 0xf8400021
	instLDRL  = 0x58000001 // ldr x1, literal
	instMOVZ0 = 0xd2800001
	instMOVN0 = 0x92800001
	instMOVK1 = 0xf2a00001
)

func TestPut(t *testing.T) {
	tests := []struct {
		name string
		typ  uint32
		word uint32
		v    int64
		want uint32 // 0: an error
	}{
		{name: "call, farthest forward", typ: uint32(elf.R_AARCH64_CALL26), word: instBL, v: 128<<20 - 4, want: 0x95ffffff},
		{name: "call, too far forward", typ: uint32(elf.R_AARCH64_CALL26), word: instBL, v: 128 << 20},
		{name: "call, farthest back", typ: uint32(elf.R_AARCH64_CALL26), word: instBL, v: -128 << 20, want: 0x96000000},
		{name: "call, too far back", typ: uint32(elf.R_AARCH64_CALL26), word: instBL, v: -128<<20 - 4},
		{name: "call to half an instruction", typ: uint32(elf.R_AARCH64_CALL26), word: instBL, v: 2},
		{name: "call by a conditional branch", typ: uint32(elf.R_AARCH64_CALL26), word: instBNE, v: 4},
		{name: "conditional branch", typ: uint32(elf.R_AARCH64_CONDBR19), word: instBNE, v: -1 << 20, want: 0x54800001},
		{name: "conditional branch, too far", typ: uint32(elf.R_AARCH64_CONDBR19), word: instBNE, v: 1 << 20},
		{name: "branch on a bit", typ: uint32(elf.R_AARCH64_TSTBR14), word: instTBZ, v: 1<<15 - 4, want: 0x361bffe0},
		{name: "branch on a bit, too far", typ: uint32(elf.R_AARCH64_TSTBR14), word: instTBZ, v: 1 << 15},
		{name: "adr", typ: uint32(elf.R_AARCH64_ADR_PREL_LO21), word: instADR, v: -1, want: 0x70ffffe1},
		{name: "adr, too far", typ: uint32(elf.R_AARCH64_ADR_PREL_LO21), word: instADR, v: 1 << 20},
		{name: "adr for adrp", typ: uint32(elf.R_AARCH64_ADR_PREL_LO21), word: instADRP, v: 0},
		{name: "page, farthest", typ: uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), word: instADRP, v: -1 << 32, want: 0x90800001},
		{name: "page, too far back", typ: uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), word: instADRP, v: -1<<32 - 4096},
		{name: "page, too far forward", typ: uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), word: instADRP, v: 1 << 32},
		{name: "page, unchecked", typ: uint32(elf.R_AARCH64_ADR_PREL_PG_HI21_NC), word: instADRP, v: 1<<33 | 1<<12, want: 0xb0000001},
		{name: "not a page", typ: uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), word: instADRP, v: 0x1008},
		{name: "low of an address", typ: uint32(elf.R_AARCH64_ADD_ABS_LO12_NC), word: instADD | 0xfff<<10, v: 0x7f1234567891, want: instADD | 0x891<<10},
		{name: "low, subtracted", typ: uint32(elf.R_AARCH64_ADD_ABS_LO12_NC), word: instSUB, v: 8},
		{name: "low, of 32 bits", typ: uint32(elf.R_AARCH64_ADD_ABS_LO12_NC), word: instADD32, v: 8},
		{name: "low, shifted", typ: uint32(elf.R_AARCH64_ADD_ABS_LO12_NC), word: instADDHi, v: 8},
		{name: "low, in a load", typ: uint32(elf.R_AARCH64_ADD_ABS_LO12_NC), word: instLDRB, v: 8},
		{name: "byte", typ: uint32(elf.R_AARCH64_LDST8_ABS_LO12_NC), word: instLDRB, v: 0x1fff, want: instLDRB | 0xfff<<10},
		{name: "8 bytes", typ: uint32(elf.R_AARCH64_LDST64_ABS_LO12_NC), word: instLDRX, v: 0x1ff8, want: instLDRX | 0x1ff<<10},
		{name: "8 bytes, not aligned", typ: uint32(elf.R_AARCH64_LDST64_ABS_LO12_NC), word: instLDRX, v: 0x1ffc},
		{name: "4 bytes, in a load of 8", typ: uint32(elf.R_AARCH64_LDST32_ABS_LO12_NC), word: instLDRX, v: 0x1000},
		{name: "16 bytes", typ: uint32(elf.R_AARCH64_LDST128_ABS_LO12_NC), word: instLDRQ, v: 0x1ff0, want: instLDRQ | 0xff<<10},
		{name: "16 bytes, not aligned", typ: uint32(elf.R_AARCH64_LDST128_ABS_LO12_NC), word: instLDRQ, v: 0x1ff8},
		{name: "load without a scale", typ: uint32(elf.R_AARCH64_LDST64_ABS_LO12_NC), word: instLDUR, v: 8},
		{name: "slot", typ: uint32(elf.R_AARCH64_LD64_GOT_LO12_NC), word: instLDRX, v: 0x12348, want: instLDRX | 0x69<<10},
		{name: "slot, loaded as 16 bytes", typ: uint32(elf.R_AARCH64_LD64_GOT_LO12_NC), word: instLDRQ, v: 0x10},
		{name: "literal", typ: uint32(elf.R_AARCH64_LD_PREL_LO19), word: instLDRL, v: -4, want: 0x58ffffe1},
		{name: "literal, not aligned", typ: uint32(elf.R_AARCH64_LD_PREL_LO19), word: instLDRL, v: 6},
		{name: "16 bits", typ: uint32(elf.R_AARCH64_MOVW_UABS_G0), word: instMOVZ0, v: 0xffff, want: 0xd29fffe1},
		{name: "more than 16 bits", typ: uint32(elf.R_AARCH64_MOVW_UABS_G0), word: instMOVZ0, v: 0x10000},
		{name: "negative", typ: uint32(elf.R_AARCH64_MOVW_UABS_G0), word: instMOVZ0, v: -1},
		{name: "second 16 bits", typ: uint32(elf.R_AARCH64_MOVW_UABS_G1_NC), word: instMOVK1, v: 0x7f1234567891, want: 0xf2a68ac1},
		{name: "second 16 bits, in the first", typ: uint32(elf.R_AARCH64_MOVW_UABS_G1_NC), word: instMOVZ0, v: 1},
		{name: "inverted", typ: uint32(elf.R_AARCH64_MOVW_UABS_G0), word: instMOVN0, v: 1},
		{name: "signed, positive", typ: uint32(elf.R_AARCH64_MOVW_SABS_G0), word: instMOVN0, v: 5, want: 0xd28000a1},
		{name: "signed, negative", typ: uint32(elf.R_AARCH64_MOVW_SABS_G0), word: instMOVZ0, v: -1, want: instMOVN0},
		{name: "signed, too small", typ: uint32(elf.R_AARCH64_MOVW_SABS_G0), word: instMOVZ0, v: -0x10001},
		{name: "high of an offset", typ: uint32(elf.R_AARCH64_TLSLE_ADD_TPREL_HI12), word: instADDHi, v: 0x123456, want: instADDHi | 0x123<<10},
		{name: "high of too large an offset", typ: uint32(elf.R_AARCH64_TLSLE_ADD_TPREL_HI12), word: instADDHi, v: 1 << 24},
		{name: "low of an offset, checked", typ: uint32(elf.R_AARCH64_TLSLE_ADD_TPREL_LO12), word: instADD, v: 0x1000},
		{name: "low of an offset", typ: 570, word: instLDRQ, v: 0xff0, want: instLDRQ | 0xff<<10},
		{name: "low of an offset, checked, of 16 bytes", typ: 570, word: instLDRQ, v: 0x1000},
		{name: "low of an offset, of 16 bytes", typ: 571, word: instLDRQ, v: 0x1010, want: instLDRQ | 1<<10},
		{name: "distance", typ: 314, v: -2, want: 0xfffffffe},
		{name: "distance, too far", typ: 314, v: 1 << 31},
		{name: "address of 32 bits", typ: uint32(elf.R_AARCH64_ABS32), v: math.MaxUint32, want: math.MaxUint32},
		{name: "address of more", typ: uint32(elf.R_AARCH64_ABS32), v: 1 << 32},
		{name: "distance of 32 bits, unsigned", typ: uint32(elf.R_AARCH64_PREL32), v: 1 << 31},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			field := codeOf(test.word)
			err := relocs[test.typ].Put(field, test.v)
			if (err == nil) != (test.want != 0) {
				t.Fatalf("% x, error %v", field, err)
			}
			want := test.want
			if err != nil {
				want = test.word
			}
			if got := binary.LittleEndian.Uint32(field); got != want {
				t.Errorf("%08x, want %08x", got, want)
			}
		})
	}
}

func TestPutShort(t *testing.T) {
	for typ, d := range relocs {
		if d.Size == 0 {
			continue
		}
		if err := d.Put(make([]byte, d.Size-1), 0); err == nil {
			t.Errorf("%s (%d): a field of %d bytes was accepted", d.Name, typ, d.Size-1)
		}
	}
}

// FuzzPut: whatever the instruction, a relocation that is stored changes the operand or branch alone, and what the instruction then names is the
// value, or, of an address in two parts, its low bits.
func FuzzPut(f *testing.F) {
	f.Add(uint32(instBL), uint32(elf.R_AARCH64_CALL26), int64(64))
	f.Add(uint32(instADRP), uint32(elf.R_AARCH64_ADR_PREL_PG_HI21), int64(0x5000))
	f.Add(uint32(instLDRQ), uint32(elf.R_AARCH64_LDST128_ABS_LO12_NC), int64(0x12340))
	f.Add(uint32(instADD), uint32(elf.R_AARCH64_ADD_ABS_LO12_NC), int64(0x12345))
	f.Fuzz(func(t *testing.T, w, typ uint32, v int64) {
		d, ok := relocs[typ]
		if !ok || d.Size != InstLen {
			return
		}
		before, field := codeOf(w), codeOf(w)
		if err := d.Put(field, v); err != nil {
			if !bytes.Equal(field, before) {
				t.Fatalf("%s of %#x in %08x: % x with error %v", d.Name, v, w, field, err)
			}
			return
		}
		x, errX := Arch.Decode(before)
		y, errY := Arch.Decode(field)
		if (d.Kind == arch.RelocAbs || d.Kind == arch.RelocPC || d.Kind == arch.RelocPLT) && errX != nil || x.NumOps+int(x.BrSize) == 0 || isMoveWide(w) {
			return // a plain word of data, or a part of a number
		}
		if typ == uint32(elf.R_AARCH64_PREL32) || typ == uint32(elf.R_AARCH64_ABS32) || typ == 314 {
			return
		}
		if errX != nil || errY != nil || !bytes.Equal(Canon(nil, before, &x), Canon(nil, field, &y)) {
			t.Fatalf("%s of %#x in %08x: % x", d.Name, v, w, field)
		}
		want := v
		switch d.Kind {
		case arch.RelocAbs, arch.RelocGOTAbs, arch.RelocTLSAbs, arch.RelocTP, arch.RelocDTP:
			want = v & 0xfff
			if w>>22&1 == 1 && x.Ops[0].Addr { // of an addition that is shifted
				want = v &^ 0xfff
			}
		case arch.RelocPage:
			want = int64(uint64(v)<<31) >> 31
		}
		if got := operandOf(&y); got != want {
			t.Fatalf("%s of %#x in %08x: names %#x, want %#x", d.Name, v, w, got, want)
		}
	})
}
