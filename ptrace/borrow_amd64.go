package ptrace

import (
	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/arch/x86"
)

// Size and alignment of a stub, and where in it a name lies, in bytes.
const (
	stubLen        = x86.BorrowLen
	stubAlign      = x86.BorrowAlign
	stubName       = x86.BorrowName
	stubNameOffset = x86.BorrowNameOffset
)

// redZone is how far below its stack pointer a thread may have data, in bytes (System V ABI, x86-64
// supplement, 3.2.2).
const redZone = 128

// paddingBytes are what linkers fill with behind a segment, beside zero: nop and int3.
var paddingBytes = []byte{0x90, 0xcc}

// auditArch is AUDIT_ARCH_X86_64 of linux/audit.h, by which a seccomp filter knows the ABI of a call.
const auditArch = 0xc000003e

// stubOwner says whose a stub is.
type stubOwner struct {
	tid  int
	sp   arch.Addr // when it was borrowed
	fill byte      // what lay there before
}

// stubReach is how far a stub may be from where the thread goes on, in bytes; 0: any distance.
const stubReach = 0

// stubFor returns the stub for a place after which thread tid goes on with saved, as if the kernel had resumed it.
func stubFor(saved *Regs, tid int, at *place) ([]byte, error) {
	r := saved.unattended()
	b := x86.Borrow{TID: uint32(tid), Fill: at.fill}
	for i := range b.Regs {
		b.Regs[i], _ = r.DWARF(i)
	}
	return b.Encode(), nil
}

// recognizeStub decodes what stubFor returns, which lies at an address.
func recognizeStub(_ arch.Addr, code []byte) (stubOwner, bool) {
	b, ok := x86.RecognizeBorrow(code)
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
	case unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_POLL, unix.SYS_RESTART_SYSCALL:
		return 3
	case unix.SYS_FUTEX:
		if in.Args[3] != 0 { // timeout
			return 3
		}
		return 1
	}
	return rankOf(in.NR)
}
