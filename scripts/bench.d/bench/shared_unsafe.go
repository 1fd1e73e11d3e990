package main

import (
	"sync/atomic"
	"unsafe"
)

// wordAt returns the i-th 64-bit word of a page that is shared with the target.
func wordAt(page []byte, i int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&page[i*8 : i*8+8][0]))
}
