//go:build linux && amd64

package effects

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// regset is PTRACE_GETREGSET or PTRACE_SETREGSET.
func (s *stepper) regset(req, set int, iov *unix.Iovec) {
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PTRACE, uintptr(req), uintptr(s.pid), uintptr(set), uintptr(unsafe.Pointer(iov)), 0, 0); e != 0 {
		s.t.Fatalf("ptrace %d: %v", req, e)
	}
}

const ntX86XState = 0x202 // NT_X86_XSTATE of linux/elf.h

func (s *stepper) get(x *state) {
	if err := syscall.PtraceGetRegs(s.pid, &x.regs); err != nil {
		s.t.Fatal(err)
	}
	iov := unix.Iovec{Base: &x.fp[0], Len: maxXState}
	s.regset(unix.PTRACE_GETREGSET, ntX86XState, &iov)
	x.n = int(iov.Len)
}

func (s *stepper) set(x *state) {
	if err := syscall.PtraceSetRegs(s.pid, &x.regs); err != nil {
		s.t.Fatal(err)
	}
	s.regset(unix.PTRACE_SETREGSET, ntX86XState, &unix.Iovec{Base: &x.fp[0], Len: uint64(x.n)})
}
