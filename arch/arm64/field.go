package arm64

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"

	"hotpatch/arch"
)

// threadReloc returns the type that stores a part of an offset from the thread pointer in an instruction; 0: there is none. What checks that the
// offset has no further bits is left out where another instruction may have them.
func threadReloc(code []byte) elf.R_AARCH64 {
	for _, t := range [...]elf.R_AARCH64{
		elf.R_AARCH64_TLSLE_ADD_TPREL_HI12, elf.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC,
		553, 555, 557, 559, 571, // R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC to R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC
		elf.R_AARCH64_TLSLE_MOVW_TPREL_G1, elf.R_AARCH64_TLSLE_MOVW_TPREL_G0_NC,
	} {
		if relocs[uint32(t)].Put(slices.Clone(code[:InstLen]), 0) == nil {
			return t
		}
	}
	return 0
}

// displace is [arch.Arch.Displace]:
//
//	add, sub xd, xn, #imm{, lsl #12}   either becomes the other
//	ldr, str rt, [xn, #imm]            with an unsigned multiple of the size (ldr) or 9 bits with a sign (ldur)
//	ldp, stp rt, rt2, [xn, #imm]       a multiple of the size in 7 bits, with a sign
//
// (Arm ARM, C6.2, ADD (immediate), LDR (immediate), LDUR, LDP). What changes its base register is left alone.
func displace(code []byte, in *arch.Inst, disp int64) error {
	if len(code) < InstLen || in.NumOps == 0 || in.Ops[0].Kind != arch.OpDisp {
		return fmt.Errorf("no instruction with a displacement")
	}
	w := binary.LittleEndian.Uint32(code)
	d := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	decode(&d, w)
	ok := false
	switch group := field(w, 28, 2); {
	case d.Kind == AddImm:
		w, ok = displaceAdd(w, disp)
	case d.Kind != Memory || d.Index != Offset:
	case group == 2:
		size := int64(d.Width / 2)
		if ok = size > 0 && disp%size == 0 && disp/size >= -64 && disp/size < 64; ok {
			w = putBits(w, bitsImm7, disp/size)
		}
	case group == 3 && (w>>24&1 == 1 || w>>21&1 == 0 && field(w, 10, 2) == 0):
		w, ok = displaceAccess(w, int64(d.Width), disp)
	}
	if !ok {
		return fmt.Errorf("the instruction has no form with a displacement of %d", disp)
	}
	binary.LittleEndian.PutUint32(code, w)
	return nil
}

// displaceAdd is displace for an addition.
func displaceAdd(w uint32, disp int64) (uint32, bool) {
	const sub, shifted = 1 << 30, 1 << 22
	w &^= sub | shifted
	if disp < 0 {
		w, disp = w|sub, -disp
	}
	if disp >= pageLen && disp%pageLen == 0 {
		w, disp = w|shifted, disp/pageLen
	}
	return putBits(w, bitsImm12, disp), disp < pageLen
}

// displaceAccess is displace for an access of size bytes by a single register.
func displaceAccess(w uint32, size, disp int64) (uint32, bool) {
	const unsigned = 1 << 24
	w &^= bitsImm12 | unsigned
	switch {
	case size > 0 && disp >= 0 && disp%size == 0 && disp/size < pageLen:
		return putBits(w|unsigned, bitsImm12, disp/size), true
	case size > 0 && disp >= -256 && disp < 256:
		return putBits(w, bitsImm9, disp), true
	}
	return w, false
}

// widen is [arch.Arch.Widen]. lld and mold make the left of the right, if the place is within 1 MiB (aaelf64, 5.7.14), and GNU ld the ADRP
// alone, where erratum 843419 of the Cortex-A53 would hit it:
//
//	nop         adrp xd, page of sym
//	adr xd, sym add  xd, xd, low of sym
//
//	adr xd, page of sym    adrp xd, page of sym
func widen(code []byte) ([]byte, bool) {
	const adrp, add, adr = 0x90000000, 0x91000000, 0x10000000
	at := func(i int) uint32 {
		if len(code) < i+InstLen {
			return 0
		}
		return binary.LittleEndian.Uint32(code[i:])
	}
	pair := at(0) == nop
	w := at(0)
	if pair {
		w = at(InstLen)
	}
	rd := w & bitsRd
	if w&^bitsADR != adr|rd || rd == 31 {
		return nil, false
	}
	wide := binary.LittleEndian.AppendUint32(nil, adrp|rd)
	if pair {
		wide = binary.LittleEndian.AppendUint32(wide, add|rd<<5|rd)
	}
	return wide, true
}
