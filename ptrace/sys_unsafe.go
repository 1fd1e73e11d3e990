package ptrace

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// All calls here are raw: they do not tell the Go scheduler, so that no goroutine
// switch happens inside a stop. All return 0 or an errno.

func ptrace(req, tid int, addr, data uintptr) syscall.Errno {
	if e := before("ptrace", req, uintptr(tid)); e != 0 {
		return e
	}
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	after("ptrace", req, uintptr(tid))
	return e
}

// ptraceAt is ptrace with a pointer as data, which the kernel reads from or writes to, and with its result.
func ptraceAt(req, tid int, addr uintptr, data unsafe.Pointer) (int, syscall.Errno) {
	if e := before("ptrace", req, uintptr(tid)); e != 0 {
		return 0, e
	}
	n, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, uintptr(data), 0, 0)
	after("ptrace", req, uintptr(tid))
	return int(n), e
}

// ptraceBytes is ptrace with a buffer as data and its size as addr
// (PTRACE_GET_RSEQ_CONFIGURATION, PTRACE_GET_SYSCALL_INFO). It returns the size filled in.
func ptraceBytes(req, tid int, buf []byte) (int, syscall.Errno) {
	return ptraceAt(req, tid, uintptr(len(buf)), unsafe.Pointer(&buf[0]))
}

// ptraceEventMsg is PTRACE_GETEVENTMSG: the new id of clone, fork and vfork, the former of exec.
func ptraceEventMsg(tid int) (uint64, syscall.Errno) {
	var msg uint64
	_, e := ptraceAt(unix.PTRACE_GETEVENTMSG, tid, 0, unsafe.Pointer(&msg))
	return msg, e
}

// signalCode is si_code of the signal that a thread is stopped for (PTRACE_GETSIGINFO): positive if the
// kernel made it.
func signalCode(tid int) (int32, syscall.Errno) {
	var si siginfo
	_, e := ptraceAt(unix.PTRACE_GETSIGINFO, tid, 0, unsafe.Pointer(&si))
	return si.Code, e
}

// ptracePoke writes one word: PTRACE_POKEDATA.
func ptracePoke(tid int, addr arch.Addr, word uint64) syscall.Errno {
	return ptrace(unix.PTRACE_POKEDATA, tid, uintptr(addr), uintptr(word))
}

// ptracePeek reads one word. The system call, unlike libc's wrapper, stores it at data.
func ptracePeek(tid int, addr arch.Addr) (uint64, syscall.Errno) {
	var w uint64
	_, e := ptraceAt(unix.PTRACE_PEEKDATA, tid, uintptr(addr), unsafe.Pointer(&w))
	return w, e
}

// regset is PTRACE_GETREGSET or PTRACE_SETREGSET with NT_PRSTATUS. It returns the
// number of bytes that the kernel moved, by which a 32-bit thread is known.
func regset(req, tid int, r *Regs) (int, syscall.Errno) {
	const ntPRStatus = 1
	return regsetBytes(req, tid, ntPRStatus, unsafe.Slice((*byte)(unsafe.Pointer(r)), unsafe.Sizeof(*r)))
}

// regsetBytes is PTRACE_GETREGSET or PTRACE_SETREGSET with any register set (NT_* of linux/elf.h).
func regsetBytes(req, tid, note int, buf []byte) (int, syscall.Errno) {
	iov := unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
	_, e := ptraceAt(req, tid, uintptr(note), unsafe.Pointer(&iov))
	return int(iov.Len), e
}

// seccompFilter is PTRACE_SECCOMP_GET_FILTER: the filter of a stopped thread with an index.
func seccompFilter(tid, index int) (filterProgram, syscall.Errno) {
	n, e := ptraceAt(unix.PTRACE_SECCOMP_GET_FILTER, tid, uintptr(index), nil) // its length
	if e != 0 {
		return nil, e
	}
	if n <= 0 || n > maxFilterLen {
		return nil, unix.EMSGSIZE
	}
	f := make(filterProgram, n)
	got, e := ptraceAt(unix.PTRACE_SECCOMP_GET_FILTER, tid, uintptr(index), unsafe.Pointer(&f[0]))
	if e == 0 && got != n {
		e = unix.EAGAIN // it is another one now
	}
	return f, e
}

// siginfo is the kernel's siginfo_t for SIGCHLD on a 64-bit machine.
type siginfo struct {
	Signo, Errno, Code, _ int32
	PID                   int32
	UID                   uint32
	Status                int32
	_                     [100]byte
}

// waitAny marks that waitPeek looks at all tracees of the calling thread.
const waitAny = 0

// waitPeek looks at the state of a tracee (or any: waitAny) without changing it and
// without waiting. si.PID is 0 if there is nothing to report.
func waitPeek(tid int, si *siginfo) syscall.Errno {
	idtype, opts := uintptr(unix.P_PID), uintptr(unix.WEXITED|unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT|unix.WALL)
	if tid == waitAny {
		idtype, opts = unix.P_ALL, opts|unix.WNOTHREAD
	}
	si.PID = 0
	_, _, e := unix.RawSyscall6(unix.SYS_WAITID, idtype, uintptr(tid), uintptr(unsafe.Pointer(si)), opts, 0, 0)
	return e
}

// waitConsume consumes what waitPeek reports of a tracee: reaps it if it has died.
func waitConsume(tid int) syscall.Errno {
	if e := before("reap", 0, uintptr(tid)); e != 0 {
		return e
	}
	_, _, e := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(tid), 0, unix.WNOHANG|unix.WALL, 0, 0, 0)
	return e
}

// nap sleeps for d nanoseconds, or until a signal arrives.
func nap(d int64) {
	ts := unix.Timespec{Sec: d / 1e9, Nsec: d % 1e9}
	unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
}

// vmRead is process_vm_readv with one local buffer and any number of remote ranges.
func vmRead(tid int, local []unix.Iovec, remote []unix.RemoteIovec) (int, syscall.Errno) {
	if e := before("read", len(remote), remote[0].Base); e != 0 {
		return 0, e
	}
	n, _, e := unix.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(tid),
		uintptr(unsafe.Pointer(&local[0])), uintptr(len(local)),
		uintptr(unsafe.Pointer(&remote[0])), uintptr(len(remote)), 0)
	return int(n), e
}

// localIovec describes a buffer of this process.
func localIovec(buf []byte) unix.Iovec {
	return unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
}

func pread(fd int, buf []byte, off uint64) (int, syscall.Errno) {
	if e := before("read", len(buf), uintptr(off)); e != 0 {
		return 0, e
	}
	n, _, e := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(off), 0, 0)
	return int(n), e
}

func pwrite(fd int, buf []byte, off uint64) (int, syscall.Errno) {
	if e := before("write", len(buf), uintptr(off)); e != 0 {
		return 0, e
	}
	n, _, e := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(off), 0, 0)
	after("write", len(buf), uintptr(off))
	return int(n), e
}

// links returns the link count of an open directory.
func links(fd int) (uint64, syscall.Errno) {
	var st unix.Stat_t
	_, _, e := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(&st)), 0)
	return uint64(st.Nlink), e
}

// sharesMemory asks kcmp(2) whether two threads have one address space.
func sharesMemory(a, b int) (bool, syscall.Errno) {
	const kcmpVM = 1 // KCMP_VM, linux/kcmp.h
	r, _, e := unix.RawSyscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), kcmpVM, 0, 0, 0)
	return e == 0 && r == 0, e
}

// schedAttr is struct sched_attr, version 0 (sched_setattr(2)).
type schedAttr struct {
	Size     uint32
	Policy   uint32
	Flags    uint64
	Nice     int32
	Priority uint32
	Runtime  uint64
	Deadline uint64
	Period   uint64
}

func schedGet(a *schedAttr) syscall.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SCHED_GETATTR, 0, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a), 0, 0, 0)
	return e
}

func schedSet(a *schedAttr) syscall.Errno {
	a.Size = uint32(unsafe.Sizeof(*a))
	_, _, e := unix.RawSyscall(unix.SYS_SCHED_SETATTR, 0, uintptr(unsafe.Pointer(a)), 0)
	return e
}

// sigaction is the kernel's struct sigaction (rt_sigaction(2)).
type sigaction struct {
	Handler  uintptr
	Flags    uint64
	Restorer uintptr
	Mask     uint64
}

func sigactionGet(sig unix.Signal, a *sigaction) syscall.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(a)), unsafe.Sizeof(a.Mask), 0, 0)
	return e
}

func sigactionSet(sig unix.Signal, a *sigaction) syscall.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(a)), 0, unsafe.Sizeof(a.Mask), 0, 0)
	return e
}
