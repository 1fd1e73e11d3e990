package inject

import (
	"encoding/binary"
	"fmt"

	"hotpatch/arch"
)

// memory reads a target's memory; *ptrace.Process is one.
type memory interface {
	ReadMem(buf []byte, addr arch.Addr) error
}

// order is the byte order of every supported architecture.
var order = binary.LittleEndian

// readBytes reads n bytes at addr. The caller has bounded n.
func readBytes(mem memory, addr arch.Addr, n int) ([]byte, error) {
	buf := make([]byte, n)
	if err := mem.ReadMem(buf, addr); err != nil {
		return nil, fmt.Errorf("read %d bytes at %#x: %w", n, uint64(addr), err)
	}
	return buf, nil
}

// readStruct fills v, a pointer to a struct of fixed size, from memory at addr.
func readStruct(mem memory, addr arch.Addr, v any) error {
	b, err := readBytes(mem, addr, binary.Size(v))
	if err != nil {
		return err
	}
	_, err = binary.Decode(b, order, v)
	return err
}

// readWord reads a 64-bit word at addr.
func readWord(mem memory, addr arch.Addr) (uint64, error) {
	var b [8]byte
	if err := mem.ReadMem(b[:], addr); err != nil {
		return 0, fmt.Errorf("read word at %#x: %w", uint64(addr), err)
	}
	return order.Uint64(b[:]), nil
}
