package ptrace

import (
	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/arm64"
)

// Size and alignment of a stub, and where in it a name lies, in bytes.
const (
	stubLen        = arm64.BorrowLen
	stubAlign      = arm64.BorrowAlign
	stubName       = arm64.BorrowName
	stubNameOffset = arm64.BorrowNameOffset
)

// stubReach is how far a stub may be from where the thread goes on, in bytes: its way back is a branch, which reaches 128 MiB, less
// the stub itself.
const stubReach = 128<<20 - stubLen

// redZone is how far below its stack pointer a thread may have data: there is none (AAPCS64, 6.4.5.1).
const redZone = 0

// paddingBytes are what linkers fill with behind a segment, beside zero: nothing of one value (a nop is 1f 20 03 d5).
var paddingBytes []byte

// auditArch is AUDIT_ARCH_AARCH64 of linux/audit.h, by which a seccomp filter knows the ABI of a call.
const auditArch = 0xc00000b7

// stubOwner says whose a stub is.
type stubOwner struct {
	tid  int
	sp   arch.Addr // when it was borrowed
	fill byte      // what lay there before
}

// stubFor returns the stub for a place after which thread tid goes on with saved, as if the kernel had resumed it. A place out of the
// thread's reach is an error.
func stubFor(saved *Regs, tid int, at *place) ([]byte, error) {
	r := saved.unattended()
	b := arm64.Borrow{TID: uint32(tid), Fill: at.fill}
	for i := range b.Regs {
		b.Regs[i], _ = r.DWARF(i)
	}
	return b.Encode(at.addr)
}

// recognizeStub decodes what stubFor returns, which lies at an address.
func recognizeStub(at arch.Addr, code []byte) (stubOwner, bool) {
	b, ok := arm64.RecognizeBorrow(at, code)
	return stubOwner{tid: int(b.TID), sp: b.SP(), fill: b.Fill}, ok
}

// restartRank says how gladly a thread is borrowed by where it waits: 0 is best. It is not in a
// call; in one that the kernel restarts from its arguments; in one that returns EINTR on any stop and is repaired; in
// one that continues through its restart block, which a borrowed call must not touch.
func restartRank(in *SyscallInfo) int {
	if !in.Blocked || !in.In {
		return 0
	}
	switch in.NR {
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_RESTART_SYSCALL:
		return 3
	case unix.SYS_FUTEX:
		if in.Args[3] != 0 { // timeout
			return 3
		}
		return 1
	}
	return rankOf(in.NR)
}
