package arm64

import (
	"encoding/binary"
	"fmt"
)

// Each function here stores a value in a field, or returns one that does ([arch.Reloc]). Those of instructions hold the word to
// what the relocation type is for: a wrong scale would lead to another address without a word.

// putNothing is for types that store nothing.
func putNothing([]byte, int64) error { return nil }

func put64(field []byte, v int64) error {
	if len(field) < 8 {
		return fmt.Errorf("relocated field has %d bytes, needs 8", len(field))
	}
	binary.LittleEndian.PutUint64(field, uint64(v))
	return nil
}

// put32 stores from -2^31 to below end.
func put32(end int64) putter {
	return func(field []byte, v int64) error {
		if len(field) < 4 {
			return fmt.Errorf("relocated field has %d bytes, needs 4", len(field))
		}
		if err := within(v, -1<<31, end); err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(field, uint32(v))
		return nil
	}
}

// put16 stores from -2^15 to below end.
func put16(end int64) putter {
	return func(field []byte, v int64) error {
		if len(field) < 2 {
			return fmt.Errorf("relocated field has %d bytes, needs 2", len(field))
		}
		if err := within(v, -1<<15, end); err != nil {
			return err
		}
		binary.LittleEndian.PutUint16(field, uint16(v))
		return nil
	}
}

// within checks that lo <= v < end.
func within(v, lo, end int64) error {
	if v < lo || v >= end {
		return fmt.Errorf("value %#x is not within %#x to %#x", v, lo, end-1)
	}
	return nil
}

// multiple checks that v is a multiple of n, a power of two.
func multiple(v, n int64) error {
	if v&(n-1) != 0 {
		return fmt.Errorf("value %#x is not a multiple of %d", v, n)
	}
	return nil
}

// putBits stores n, shifted to where mask begins, in the bits of mask.
func putBits(w, mask uint32, n int64) uint32 {
	return w&^mask | uint32(n)*(mask&-mask)&mask
}

// instruction decodes the word in a field. match says whether it is one that the relocation type is for.
func instruction(field []byte, match func(in *Inst, w uint32) bool) (uint32, error) {
	if len(field) < InstLen {
		return 0, fmt.Errorf("relocated field has %d bytes, needs %d", len(field), InstLen)
	}
	w := binary.LittleEndian.Uint32(field)
	in := Inst{Rd: NoReg, Rn: NoReg, Rm: NoReg}
	if !decode(&in, w) || !match(&in, w) {
		return 0, fmt.Errorf("%08x is not an instruction that this relocation is for", w)
	}
	return w, nil
}

// putBranch stores a distance in words from the instruction, of a direct branch or a literal.
func putBranch(mask uint32) putter {
	n := uint(0) // bits of the distance in bytes
	for m := mask / (mask & -mask); m != 0; m >>= 1 {
		n++
	}
	reach := int64(1) << (n + 1)
	return func(field []byte, v int64) error {
		w, err := instruction(field, func(in *Inst, w uint32) bool {
			return in.Kind == Literal && mask == bitsImm19 || isDirect(in.Flow) && branchBits(w) == mask
		})
		if err == nil {
			err = within(v, -reach, reach)
		}
		if err == nil {
			err = multiple(v, InstLen)
		}
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(field, putBits(w, mask, v/InstLen))
		return nil
	}
}

// storeADR stores a number of 21 bits, signed, in an ADR or ADRP.
func storeADR(field []byte, kind Kind, n int64) error {
	w, err := instruction(field, func(in *Inst, _ uint32) bool { return in.Kind == kind })
	if err != nil {
		return err
	}
	w = putBits(w, 3<<29, n&3)
	binary.LittleEndian.PutUint32(field, putBits(w, bitsImm19, n>>2))
	return nil
}

// putADR stores a distance from an ADR.
func putADR(field []byte, v int64) error {
	if err := within(v, -1<<20, 1<<20); err != nil {
		return err
	}
	return storeADR(field, PCRel, v)
}

// pageLen is the size of the pages that ADRP counts in, whatever those of the kernel.
const pageLen = 4096

// putPage stores a distance from the page of an ADRP to another.
func putPage(field []byte, v int64) error {
	if err := within(v, -1<<32, 1<<32); err != nil {
		return err
	}
	return putAnyPage(field, v)
}

// putAnyPage is putPage for a place of which another instruction holds the upper bits.
func putAnyPage(field []byte, v int64) error {
	if err := multiple(v, pageLen); err != nil {
		return err
	}
	return storeADR(field, Page, v>>12)
}

// isLow reports whether an instruction holds the low 12 bits of an address in units of so many bytes: an addition (0), or an
// access of that size.
func isLow(in *Inst, w uint32, size int64) bool {
	if operandBits(in, w) != bitsImm12 || in.Kind == AddImm {
		return in.Kind == AddImm && size == 0 && w>>30&1 == 0 && w>>22&1 == 0
	}
	if in.Width == 0 { // PRFM
		return size == 8
	}
	return int64(in.Width) == size
}

// putLow stores the low 12 bits of an address in an addition (size 0) or in an access of size bytes, by which it is scaled.
func putLow(size int64) putter {
	return func(field []byte, v int64) error {
		w, err := instruction(field, func(in *Inst, w uint32) bool { return isLow(in, w, size) })
		if err == nil {
			err = multiple(v, max(size, 1))
		}
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(field, putBits(w, bitsImm12, v&(pageLen-1)/max(size, 1)))
		return nil
	}
}

// putWhole is putLow for a value that has no more than 12 bits.
func putWhole(size int64) putter {
	put := putLow(size)
	return func(field []byte, v int64) error {
		if err := within(v, 0, pageLen); err != nil {
			return err
		}
		return put(field, v)
	}
}

// putHigh stores bits 12 to 23 of a value that has no more, in an addition of an immediate that is shifted by 12.
func putHigh(field []byte, v int64) error {
	w, err := instruction(field, func(in *Inst, w uint32) bool { return in.Kind == AddImm && w>>30&1 == 0 && w>>22&1 == 1 })
	if err == nil {
		err = within(v, 0, 1<<24)
	}
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(field, putBits(w, bitsImm12, v>>12))
	return nil
}

// bitsImm16 is the immediate of MOVZ, MOVN and MOVK.
const bitsImm16 = 0x001fffe0

// isMoveWide reports whether a word is a MOVN, MOVZ or MOVK: opcodes 0, 2 and 3 in bits 29 and 30 (Arm ARM, C4.1.65).
func isMoveWide(w uint32) bool { return w&0x1f800000 == 0x12800000 && field(w, 29, 2) != 1 }

// isMovw is isMoveWide for one that writes a certain group of 16 bits.
func isMovw(w uint32, group uint) bool { return isMoveWide(w) && uint(field(w, 21, 2)) == group }

// putMovw stores bits 16*group to 16*group+15 of a value in a MOVZ or MOVK. If checked is set the value has no further ones.
func putMovw(group uint, checked bool) putter {
	return func(field []byte, v int64) error {
		w, err := instruction(field, func(_ *Inst, w uint32) bool { return isMovw(w, group) && w>>30&1 == 1 })
		if err == nil && checked {
			err = within(v, 0, 1<<(16*group+16))
		}
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(field, putBits(w, bitsImm16, v>>(16*group)&0xffff))
		return nil
	}
}

// putSignedMovw stores the uppermost 16 bits of a signed value of 16*group+17 bits, and makes the instruction a MOVZ, or, of a
// negative one, a MOVN.
func putSignedMovw(group uint) putter {
	return func(field []byte, v int64) error {
		w, err := instruction(field, func(_ *Inst, w uint32) bool { return isMovw(w, group) && w>>29&1 == 0 })
		if err == nil {
			err = within(v, -1<<(16*group+16), 1<<(16*group+16))
		}
		if err != nil {
			return err
		}
		w |= 1 << 30
		if v < 0 {
			w &^= 1 << 30
			v = ^v
		}
		binary.LittleEndian.PutUint32(field, putBits(w, bitsImm16, v>>(16*group)))
		return nil
	}
}
