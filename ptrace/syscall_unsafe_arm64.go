package ptrace

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// enteredArg0 returns argument 0 of the last system call that a stopped thread has made. The kernel keeps it (orig_x0 in struct pt_regs) and shows it
// where a tracer may see a call's entry: to PTRACE_GET_SYSCALL_INFO, if si_code of the stop's siginfo is that of a seccomp stop
// (ptrace_get_syscall_info in kernel/ptrace.c; syscall_get_arguments in arch/arm64/include/asm/syscall.h). A tracer may change that siginfo
// (PTRACE_SETSIGINFO), so it is made to look like one for two requests. Nobody else reads it: it belongs to a stop of PTRACE_INTERRUPT, which drops
// it, or to a signal that has no handler. Linux 5.3.
//
// Preconditions: the thread is in such a stop, and not in a group-stop, which has no siginfo.
func enteredArg0(tid int) (uint64, syscall.Errno) {
	const seccompCode = int32(unix.SIGTRAP) | unix.PTRACE_EVENT_SECCOMP<<8
	var was siginfo
	if _, e := ptraceAt(unix.PTRACE_GETSIGINFO, tid, 0, unsafe.Pointer(&was)); e != 0 {
		return 0, e
	}
	as := was
	as.Code = seccompCode
	if _, e := ptraceAt(unix.PTRACE_SETSIGINFO, tid, 0, unsafe.Pointer(&as)); e != 0 {
		return 0, e
	}
	const arg0, size = 32, 88 // of args[0] in struct ptrace_syscall_info (linux/ptrace.h), and of the struct
	var info [size]byte
	n, e := ptraceBytes(unix.PTRACE_GET_SYSCALL_INFO, tid, info[:])
	if _, e := ptraceAt(unix.PTRACE_SETSIGINFO, tid, 0, unsafe.Pointer(&was)); e != 0 {
		return 0, e
	}
	if e != 0 {
		return 0, e
	}
	if info[0] != unix.PTRACE_SYSCALL_INFO_SECCOMP || n < arg0+8 {
		return 0, unix.ENODATA
	}
	return binary.NativeEndian.Uint64(info[arg0:]), 0
}
