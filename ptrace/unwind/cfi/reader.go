package cfi

import (
	"encoding/binary"

	"hotpatch/arch"
)

// Pointer encodings (LSB Core 5.0, 10.5.1 "DWARF Exception Header Encoding"): the low
// four bits say how the value is stored, the next three what it is relative to.
const (
	encAbsptr   = 0x00
	encULEB     = 0x01
	encUdata2   = 0x02
	encUdata4   = 0x03
	encUdata8   = 0x04
	encSigned   = 0x08 // a signed pointer-sized value
	encSLEB     = 0x09
	encSdata2   = 0x0a
	encSdata4   = 0x0b
	encSdata8   = 0x0c
	encForm     = 0x0f // mask
	encPCRel    = 0x10 // relative to the field itself
	encTextRel  = 0x20
	encDataRel  = 0x30
	encFuncRel  = 0x40
	encAligned  = 0x50
	encApply    = 0x70 // mask
	encIndirect = 0x80 // the result is the address of a slot that holds the address
	encOmit     = 0xff
)

// section is the raw section and what is needed to read it.
type section struct {
	arch  *arch.Arch
	data  []byte
	addr  arch.ImageAddr // of data[0]
	order binary.ByteOrder
}

// reader reads a bounded part of a section. After its first error all reads give
// zero, and the error stays in err.
type reader struct {
	sec *section
	off uint64 // of the next byte, in the section
	end uint64 // of the part; at most len(sec.data)
	err error
}

// reader returns a reader of data[off:end]. Preconditions: off <= end <= len(data).
func (s *section) reader(off, end uint64) reader { return reader{sec: s, off: off, end: end} }

func (r *reader) done() bool { return r.err != nil || r.off >= r.end }

// fail records the reader's first error.
func (r *reader) fail(off uint64, msg string, val any) {
	if r.err == nil {
		r.err = &FormatError{Off: off, Msg: msg, Val: val}
	}
}

// take returns the next n bytes, or nil after recording an error.
func (r *reader) take(n uint64, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.end-r.off {
		r.fail(r.off, what+" goes beyond the end of its record, which leaves fewer bytes than", n)
		return nil
	}
	b := r.sec.data[r.off : r.off+n]
	r.off += n
	return b
}

func (r *reader) u8() uint8 {
	if r.err == nil && r.off < r.end {
		v := r.sec.data[r.off]
		r.off++
		return v
	}
	r.take(1, "byte")
	return 0
}

// uint reads an unsigned integer of 1, 2, 4 or 8 bytes.
func (r *reader) uint(size int) uint64 {
	b := r.take(uint64(size), "integer")
	switch {
	case b == nil:
		return 0
	case size == 1:
		return uint64(b[0])
	case size == 2:
		return uint64(r.sec.order.Uint16(b))
	case size == 4:
		return uint64(r.sec.order.Uint32(b))
	}
	return r.sec.order.Uint64(b)
}

// sint reads a signed integer of 1, 2, 4 or 8 bytes.
func (r *reader) sint(size int) int64 {
	shift := 64 - 8*uint(size)
	return int64(r.uint(size)<<shift) >> shift
}

// uleb reads an unsigned LEB128 number (DWARF 5, 7.6). One that does not fit 64
// bits is an error.
func (r *reader) uleb() uint64 {
	start := r.off
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := r.u8()
		if r.err != nil {
			return 0
		}
		low := uint64(b & 0x7f)
		if shift >= 64 && low != 0 || shift < 64 && low<<shift>>shift != low {
			r.fail(start, "LEB128 number exceeds 64 bits; its last byte is", b)
			return 0
		}
		if shift < 64 {
			v |= low << shift
		}
		if b&0x80 == 0 {
			return v
		}
	}
}

// sleb reads a signed LEB128 number. One that does not fit 64 bits is an error.
func (r *reader) sleb() int64 {
	start := r.off
	var v int64
	for shift := uint(0); ; shift += 7 {
		b := r.u8()
		if r.err != nil {
			return 0
		}
		low := b & 0x7f
		switch {
		case shift < 63:
			v |= int64(low) << shift
		case shift == 63 && (low == 0 || low == 0x7f):
			v |= int64(low) << 63
		case shift > 63 && (v >= 0 && low == 0 || v < 0 && low == 0x7f):
			// Padding that repeats the sign.
		default:
			r.fail(start, "LEB128 number exceeds 64 bits; its last byte is", b)
			return 0
		}
		if b&0x80 == 0 {
			if shift < 57 && low&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}

// cstring reads a NUL-terminated string.
func (r *reader) cstring() string {
	start := r.off
	for r.err == nil {
		if r.off == r.end {
			r.fail(start, "string has no end", nil)
			break
		}
		if b := r.u8(); b == 0 {
			return string(r.sec.data[start : r.off-1])
		}
	}
	return ""
}

// block is a range of bytes in the section.
type block struct{ off, len uint64 }

// block reads a block with a LEB128 length in front.
func (r *reader) block() block {
	n := r.uleb()
	off := r.off
	if r.take(n, "block") == nil {
		return block{}
	}
	return block{off: off, len: n}
}

// pointer reads an encoded pointer. Off of the result is in the section. A stored
// zero is the null pointer, whatever it is relative to.
func (r *reader) pointer(enc byte) PtrField {
	f := PtrField{Enc: enc, Off: r.off}
	v := r.encoded(enc)
	f.Size = int(r.off - f.Off)
	if r.err != nil || v == 0 {
		return f
	}
	switch enc & encApply {
	case encAbsptr:
	case encPCRel:
		v += uint64(r.sec.addr) + f.Off
	default:
		// Bases other than the field itself occur in .eh_frame_hdr and on other machines only.
		r.fail(f.Off, "pointer encoding is relative to a base that .eh_frame does not have", enc)
		return PtrField{}
	}
	f.Value = arch.ImageAddr(v)
	return f
}

// encoded reads the value of an encoded pointer without applying what it is relative to.
func (r *reader) encoded(enc byte) uint64 {
	start := r.off
	switch enc & encForm {
	case encAbsptr:
		return r.uint(r.sec.arch.PtrSize)
	case encSigned:
		return uint64(r.sint(r.sec.arch.PtrSize))
	case encULEB:
		return r.uleb()
	case encSLEB:
		return uint64(r.sleb())
	case encUdata2:
		return r.uint(2)
	case encUdata4:
		return r.uint(4)
	case encUdata8:
		return r.uint(8)
	case encSdata2:
		return uint64(r.sint(2))
	case encSdata4:
		return uint64(r.sint(4))
	case encSdata8:
		return uint64(r.sint(8))
	}
	r.fail(start, "unknown pointer encoding", enc)
	return 0
}
