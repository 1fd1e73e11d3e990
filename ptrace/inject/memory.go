package inject

import (
	"bytes"
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

// maxCString bounds a path in a target's link map (PATH_MAX).
const maxCString = 4096

// readCString reads a NUL-terminated string at addr. It reads page by page, so
// that a string at the end of a mapping can be read.
func readCString(mem memory, addr arch.Addr) (string, error) {
	const page = 4096
	var out []byte
	for len(out) < maxCString {
		n := page - int(uint64(addr)%page)
		b, err := readBytes(mem, addr, n)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(append(out, b[:i]...)), nil
		}
		out, addr = append(out, b...), addr+arch.Addr(n)
	}
	return "", fmt.Errorf("string at %#x: longer than %d bytes", uint64(addr), maxCString)
}
