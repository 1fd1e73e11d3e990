package patch

import (
	"encoding/binary"
	"fmt"
)

// encoder appends the primitives of our own sections.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) raw(b []byte)  { e.b = append(e.b, b...) }

func (e *encoder) bytes(b []byte) {
	e.uint(uint64(len(b)))
	e.b = append(e.b, b...)
}

func (e *encoder) str(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bool(v bool) {
	if v {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

// decoder reads what an encoder wrote. The first error stays; every later read gives
// zero values, so that callers check once, at the end.
type decoder struct {
	name string // section, for errors
	b    []byte
	off  int   // of the next byte in b
	base int64 // file offset of b
	err  *FormatError
}

// pos returns the file offset of the next byte.
func (d *decoder) pos() int64 { return d.base + int64(d.off) }

func (d *decoder) fail(msg string, val any) {
	if d.err == nil {
		d.err = &FormatError{Off: d.pos(), Msg: d.name + ": " + msg, Val: val}
	}
}

func (d *decoder) uint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.off:])
	if n <= 0 {
		d.fail("number is cut off or too large", nil)
		return 0
	}
	d.off += n
	return v
}

func (d *decoder) int() int64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Varint(d.b[d.off:])
	if n <= 0 {
		d.fail("number is cut off or too large", nil)
		return 0
	}
	d.off += n
	return v
}

// max reads a number that is at most limit.
func (d *decoder) max(limit uint64, what string) uint64 {
	at := d.off
	v := d.uint()
	if v > limit {
		d.off = at
		d.fail(fmt.Sprintf("%s is above %d", what, limit), v)
		return 0
	}
	return v
}

// count reads the length of a list with at most limit elements, each at least
// size bytes long in the file. So what the caller allocates is in proportion to the file.
func (d *decoder) count(limit, size int, what string) int {
	at := d.off
	n := d.max(uint64(limit), "number of "+what)
	if n > uint64((len(d.b)-d.off)/size) {
		d.off = at
		d.fail("number of "+what+" does not fit in the section", n)
		return 0
	}
	return int(n)
}

// raw returns the next n bytes, which stay part of the file.
func (d *decoder) raw(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.b)-d.off) {
		d.fail("length runs past the end of the section", n)
		return nil
	}
	b := d.b[d.off : d.off+int(n) : d.off+int(n)]
	d.off += int(n)
	return b
}

// bytes returns a byte string, nil if it is empty.
func (d *decoder) bytes() []byte {
	b := d.raw(d.uint())
	if len(b) == 0 {
		return nil
	}
	return b
}

func (d *decoder) str() string { return string(d.raw(d.uint())) }

func (d *decoder) bool() bool { return d.max(1, "truth value") == 1 }

// done returns the first error; bytes that were not read are one.
func (d *decoder) done() error {
	if d.err == nil && d.off != len(d.b) {
		d.fail("bytes behind the last record", uint64(len(d.b)-d.off))
	}
	if d.err != nil {
		return d.err
	}
	return nil
}
