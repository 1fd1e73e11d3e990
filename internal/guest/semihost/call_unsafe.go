//go:build linux && arm64

package semihost

import (
	"fmt"
	"runtime"
	"unsafe"
)

// The operations, and what they are given, of the semihosting specification.
const (
	sysOpen         = 0x01
	sysClose        = 0x02
	sysWrite        = 0x05
	sysRead         = 0x06
	sysFlen         = 0x0c
	sysSystem       = 0x12
	sysExitExtended = 0x20

	adpStoppedApplication = 0x20026

	openRead  = 1 // "rb"
	openWrite = 5 // "wb"
)

// call makes a semihosting call. It is in call_arm64.s.
func call(operation uint64, argument unsafe.Pointer) int64

// Exit ends the machine. The emulator's exit status becomes status. It returns only if nobody listens.
func Exit(status int) {
	args := [2]uint64{adpStoppedApplication, uint64(status)}
	call(sysExitExtended, unsafe.Pointer(&args))
}

// block is memory that the emulator reads or writes: every page of it is there, as the emulator cannot make the kernel bring one.
type block struct {
	bytes  []byte
	pinner runtime.Pinner
}

func newBlock(n int) *block {
	b := &block{bytes: make([]byte, n)}
	for i := 0; i < n; i += 4096 {
		b.bytes[i] = 0
	}
	b.bytes[n-1] = 0
	b.pinner.Pin(&b.bytes[0])
	return b
}

// text returns a block with a string and the zero byte behind it.
func text(s string) *block {
	b := newBlock(len(s) + 1)
	copy(b.bytes, s)
	return b
}

func (b *block) address() uint64 { return uint64(uintptr(unsafe.Pointer(&b.bytes[0]))) }

// request makes a call with up to three words.
func request(operation uint64, words ...uint64) int64 {
	var args [3]uint64
	copy(args[:], words)
	return call(operation, unsafe.Pointer(&args))
}

// System runs a command in the host's shell, and returns what system(3) does there.
func System(command string) int64 {
	b := text(command)
	defer b.pinner.Unpin()
	return request(sysSystem, b.address(), uint64(len(command)))
}

// open opens a file of the host.
func open(path string, mode uint64) (uint64, error) {
	name := text(path)
	defer name.pinner.Unpin()
	h := request(sysOpen, name.address(), mode, uint64(len(path)))
	if h < 0 {
		return 0, fmt.Errorf("host file %s: cannot be opened", path)
	}
	return uint64(h), nil
}

// WriteFile writes a file of the host.
func WriteFile(path string, data []byte) error {
	h, err := open(path, openWrite)
	if err != nil {
		return err
	}
	defer request(sysClose, h)
	if len(data) == 0 {
		return nil
	}
	b := newBlock(len(data))
	defer b.pinner.Unpin()
	copy(b.bytes, data)
	if left := request(sysWrite, h, b.address(), uint64(len(data))); left != 0 {
		return fmt.Errorf("host file %s: %d of %d bytes not written", path, left, len(data))
	}
	return nil
}

// maxFile bounds what is read of a file of the host.
const maxFile = 1 << 30

// ReadFile reads a file of the host.
func ReadFile(path string) ([]byte, error) {
	h, err := open(path, openRead)
	if err != nil {
		return nil, err
	}
	defer request(sysClose, h)
	n := request(sysFlen, h)
	if n < 0 || n > maxFile {
		return nil, fmt.Errorf("host file %s: length %d", path, n)
	}
	if n == 0 {
		return nil, nil
	}
	b := newBlock(int(n))
	defer b.pinner.Unpin()
	if left := request(sysRead, h, b.address(), uint64(n)); left != 0 {
		return nil, fmt.Errorf("host file %s: %d of %d bytes not read", path, left, n)
	}
	return b.bytes, nil
}
