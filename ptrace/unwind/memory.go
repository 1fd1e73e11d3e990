package unwind

import (
	"encoding/binary"
	"errors"

	"hotpatch/arch"
	"hotpatch/ptrace/unwind/cfi"
)

const pageSize = 4096 // granule of reads; any power of two does

var errWrap = errors.New("range wraps around the address space")

// window is a view of a target's memory through one buffer, which is filled by few
// large reads and never allocated anew. It implements [cfi.UintReader]. Both
// architectures are little-endian.
type window struct {
	mem  cfi.Memory
	base arch.Addr
	buf  []byte // what is valid, starting at base
	all  []byte // the whole buffer
}

// newWindow returns a window with a buffer of size bytes, at least a page.
func newWindow(mem cfi.Memory, size int) *window {
	return &window{mem: mem, all: make([]byte, size)}
}

// reset forgets the contents and changes to another memory.
func (w *window) reset(mem cfi.Memory) {
	w.mem, w.base, w.buf = mem, 0, nil
}

// ReadMem implements [cfi.Memory].
func (w *window) ReadMem(buf []byte, addr arch.Addr) error { return w.mem.ReadMem(buf, addr) }

// ReadUint implements [cfi.UintReader].
func (w *window) ReadUint(addr arch.Addr, size int) (uint64, error) {
	b, err := w.view(addr, size)
	if err != nil {
		return 0, err
	}
	switch size {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	}
	return binary.LittleEndian.Uint64(b), nil
}

// view returns n bytes at addr, valid until the next call. n is at most a page.
func (w *window) view(addr arch.Addr, n int) ([]byte, error) {
	off := uint64(addr - w.base)
	if size := uint64(len(w.buf)); off < size && size-off >= uint64(n) {
		return w.buf[off : off+uint64(n)], nil
	}
	page := addr &^ (pageSize - 1)
	if uint64(addr-page)+uint64(n) <= pageSize && w.load(page, page+pageSize) == nil {
		return w.buf[addr-page : uint64(addr-page)+uint64(n)], nil
	}
	if err := w.load(addr, addr+arch.Addr(n)); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// load fills the window with [lo, hi), or with as much of it as the buffer holds.
func (w *window) load(lo, hi arch.Addr) error {
	w.buf = nil
	if hi < lo {
		return errWrap
	}
	n := min(uint64(hi-lo), uint64(len(w.all)))
	if err := w.mem.ReadMem(w.all[:n], lo); err != nil {
		return err
	}
	w.base, w.buf = lo, w.all[:n]
	return nil
}
