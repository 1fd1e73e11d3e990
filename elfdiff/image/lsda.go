package image

import (
	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

// landingPads returns where exceptions enter the code of a, by the call-site table of its language specific data (LSDA, "C++ ABI for
// Itanium: Exception Handling", and gcc's unwind-pe.h). A table in a form that is not understood gives
// none: its code then counts as unreached.
func (im *Image) landingPads(a *Atom) []arch.ImageAddr {
	f := im.CFI.Find(a.Addr)
	if f == nil || f.LSDA == 0 || f.LSDAIndirect {
		return nil
	}
	s := im.SectionAt(f.LSDA)
	if s == nil || s.Data == nil {
		return nil
	}
	r := lsdaReader{data: s.Data, pos: uint64(f.LSDA - s.Addr), base: s.Addr}
	return r.pads(f)
}

// lsdaReader reads an LSDA. After the first read beyond the end, bad is set.
type lsdaReader struct {
	data []byte
	pos  uint64
	base arch.ImageAddr // of data
	bad  bool
}

// Pointer encodings, DW_EH_PE_* (LSB Core 5.0, 10.5.1).
const (
	peAbsptr  = 0x00
	peULEB    = 0x01
	peUdata2  = 0x02
	peUdata4  = 0x03
	peUdata8  = 0x04
	peSdata2  = 0x0a
	peSdata4  = 0x0b
	peSdata8  = 0x0c
	pePCRel   = 0x10
	peOmit    = 0xff
	peFormat  = 0x0f
	peApplied = 0xf0
)

func (r *lsdaReader) pads(f *cfi.FDE) []arch.ImageAddr {
	start := f.Start
	if enc := r.byte(); enc != peOmit {
		start = arch.ImageAddr(r.pointer(enc))
	}
	if enc := r.byte(); enc != peOmit {
		r.uleb() // offset of the type table
	}
	enc := r.byte()
	size := r.uleb()
	end := r.pos + size
	if end < r.pos || end > uint64(len(r.data)) {
		return nil
	}
	var pads []arch.ImageAddr
	for r.pos < end && !r.bad {
		r.pointer(enc) // start of the region
		r.pointer(enc) // length
		pad := r.pointer(enc)
		r.uleb() // action
		if pad != 0 && !r.bad {
			pads = append(pads, start+arch.ImageAddr(pad))
		}
	}
	if r.bad {
		return nil
	}
	return pads
}

func (r *lsdaReader) byte() byte { return byte(r.uint(1)) }

func (r *lsdaReader) uint(n uint64) uint64 {
	if r.bad || n > uint64(len(r.data))-r.pos {
		r.bad = true
		return 0
	}
	var v uint64
	for i := range n {
		v |= uint64(r.data[r.pos+i]) << (8 * i)
	}
	r.pos += n
	return v
}

func (r *lsdaReader) uleb() uint64 {
	var v uint64
	for shift := 0; shift < 70 && !r.bad; shift += 7 {
		b := r.uint(1)
		if shift < 64 {
			v |= (b & 0x7f) << shift
		}
		if b&0x80 == 0 {
			return v
		}
	}
	r.bad = true
	return 0
}

// pointer reads an encoded value.
func (r *lsdaReader) pointer(enc byte) uint64 {
	at := uint64(r.base) + r.pos
	var v uint64
	switch enc & peFormat {
	case peAbsptr, peUdata8, peSdata8:
		v = r.uint(8)
	case peULEB:
		v = r.uleb()
	case peUdata2:
		v = r.uint(2)
	case peUdata4:
		v = r.uint(4)
	case peSdata2:
		v = uint64(int64(int16(r.uint(2))))
	case peSdata4:
		v = uint64(int64(int32(r.uint(4))))
	default:
		r.bad = true
	}
	switch enc & peApplied {
	case 0:
	case pePCRel:
		if v != 0 {
			v += at
		}
	default:
		r.bad = true
	}
	return v
}
