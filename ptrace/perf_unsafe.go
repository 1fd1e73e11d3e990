package ptrace

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// breakpoint is a hardware breakpoint of perf_event_open(2) in one thread of another process: when the thread is about to execute the
// instruction at an address, the kernel notes its stack pointer in a ring and lets it go on. It needs no stop, changes no byte, and
// goes away with its descriptor. A processor of x86-64 has four for each thread, shared with debuggers. On arm64 there are none for us (perfEvents).
type breakpoint struct {
	fd   int            // -1: none
	ring unsafe.Pointer // one page of the kernel's, and one of records (linux/perf_event.h); nil: none
}

// Offsets in struct perf_event_mmap_page.
const (
	ringHead = 1024 // data_head: bytes that the kernel has written
	ringTail = 1032 // data_tail: bytes that have been read
)

// perfSample is PERF_RECORD_SAMPLE; perfRecord is the size of its header, and with the registers' ABI and one register what we ask for.
const (
	perfSample = 9
	perfHeader = 8
	perfRecord = perfHeader + 8 + 8
)

// breakExecute is HW_BREAKPOINT_X of linux/hw_breakpoint.h.
const breakExecute = 4

// setBreakpoint sets a breakpoint in a thread, which may be running.
func setBreakpoint(tid int, at arch.Addr) (breakpoint, syscall.Errno) {
	if !perfEvents {
		return breakpoint{fd: -1}, syscall.EOPNOTSUPP
	}
	const wakeEach = 1 // wakeup_events
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_BREAKPOINT, Sample: 1, Sample_type: unix.PERF_SAMPLE_REGS_USER,
		Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv, Wakeup: wakeEach, Bp_type: breakExecute,
		Ext1: uint64(at), Ext2: breakLen, Sample_regs_user: 1 << perfRegSP,
	}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, _, e := unix.RawSyscall6(unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&attr)), uintptr(tid), ^uintptr(0), ^uintptr(0),
		unix.PERF_FLAG_FD_CLOEXEC, 0)
	if e != 0 {
		return breakpoint{fd: -1}, e
	}
	b := breakpoint{fd: int(fd)}
	ring, err := unix.MmapPtr(b.fd, 0, nil, uintptr(2*os.Getpagesize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(b.fd)
		e, _ = err.(syscall.Errno)
		return breakpoint{fd: -1}, max(e, 1)
	}
	b.ring = ring
	return b, 0
}

// countExecutions counts how often a thread comes to the instruction at an address. Reading the descriptor gives the number, 8 bytes.
func countExecutions(tid int, at arch.Addr) (fd int, e syscall.Errno) {
	if !perfEvents {
		return -1, syscall.EOPNOTSUPP
	}
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_BREAKPOINT, Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv, Bp_type: breakExecute,
		Ext1: uint64(at), Ext2: breakLen,
	}
	attr.Size = uint32(unsafe.Sizeof(attr))
	r, _, e := unix.RawSyscall6(unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&attr)), uintptr(tid), ^uintptr(0), ^uintptr(0),
		unix.PERF_FLAG_FD_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	return int(r), 0
}

// passed reports whether the thread has come by with its stack pointer at sp or above since the last call.
func (b *breakpoint) passed(sp arch.Addr) bool {
	head := atomic.LoadUint64((*uint64)(unsafe.Add(b.ring, ringHead)))
	tail := (*uint64)(unsafe.Add(b.ring, ringTail))
	data := unsafe.Add(b.ring, os.Getpagesize())
	size := uint64(os.Getpagesize())
	word := func(off uint64) uint64 { // records are multiples of eight bytes, so that no word goes round the end
		return *(*uint64)(unsafe.Add(data, off%size))
	}
	found := false
	for at := *tail; at < head; {
		header := word(at)
		kind, length := uint32(header), header>>48
		if kind == perfSample && length >= perfRecord && word(at+perfHeader) != 0 && arch.Addr(word(at+perfHeader+8)) >= sp {
			found = true
		}
		at += max(length, perfHeader)
	}
	atomic.StoreUint64(tail, head)
	return found
}

// clear takes the breakpoint away.
func (b *breakpoint) clear() {
	if b.ring != nil {
		unix.MunmapPtr(b.ring, uintptr(2*os.Getpagesize()))
	}
	if b.fd >= 0 {
		unix.Close(b.fd)
	}
	*b = breakpoint{fd: -1}
}

// poll is ppoll(2), made without telling the Go scheduler. It ends early when a signal arrives.
func poll(fds []unix.PollFd, ns int64) syscall.Errno {
	ts := unix.Timespec{Sec: ns / 1e9, Nsec: ns % 1e9}
	var first *unix.PollFd
	if len(fds) > 0 {
		first = &fds[0]
	}
	_, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(first)), uintptr(len(fds)), uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	return e
}
