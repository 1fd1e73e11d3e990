//go:build linux && (amd64 || arm64)

package effects

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// regset makes PTRACE_GETREGSET or PTRACE_SETREGSET with b and returns how much of it there is.
func (s *stepper) regset(req, set int, b []byte) int {
	iov := unix.Iovec{Base: &b[0], Len: uint64(len(b))}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, uintptr(req), uintptr(s.pid), uintptr(set), uintptr(unsafe.Pointer(&iov)), 0, 0); e != 0 {
		s.t.Fatalf("ptrace %d: %v", req, e)
	}
	return int(iov.Len)
}
