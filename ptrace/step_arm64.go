package ptrace

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// arm64 has nothing that lets an instruction pass its own breakpoint. When a thread meets one of a perf event, the kernel turns all breakpoints of
// the thread off, lets it execute the one instruction with PSTATE.SS set, and turns them on again in the exception behind that
// (breakpoint_handler and reinstall_suspended_bps in arch/arm64/kernel/hw_breakpoint.c). The exception is not told to anybody.
//
// A thread may be stopped in between: the interrupt that a tracer has ready for it comes first. PTRACE_CONT, PTRACE_SYSCALL and PTRACE_DETACH
// then take the step away (user_disable_single_step), and the thread's breakpoints stay off until it executes another program. PTRACE_SINGLESTEP
// leaves the step as it is: the kernel ends it without a report, also if the tracer has died meanwhile. So such a thread goes on by that. A stop
// in which PSTATE.SS is set is always of this kind: nobody else traces the thread, and one that executes the copy of an instruction for a
// uprobe does not stop (uprobe_deny_signal in kernel/events/uprobes.c).
//
// A handler of a signal that is delivered there begins with the step: the kernel reports that to the tracer by a stop of SIGTRAP
// (signal_delivered in kernel/signal.c), where PSTATE.SS is clear, and the breakpoints are turned on in front of the handler's first instruction.

// pstateSS is the software step bit of PSTATE (Arm ARM, C5.2.19 SPSR_EL1).
const pstateSS = 1 << 21

// stepping reports whether a stopped thread has yet to pass over a breakpoint that it has met.
func (t *tracee) stepping() bool {
	if t.regs.word[regPstate]&pstateSS != 0 {
		return true
	}
	if !t.memory.handler || !t.stop.delivery() || t.stop.sig != int(unix.SIGTRAP) {
		return false
	}
	code, e := signalCode(t.tid)
	return e == 0 && code == int32(unix.SIGTRAP) // of ptrace_notify, and of no signal
}

// request is the ptrace request by which a stopped thread goes on.
func (t *tracee) request() int {
	steps := t.stepping()
	t.memory.handler = steps && t.stop.delivery()
	if steps {
		return unix.PTRACE_SINGLESTEP
	}
	return unix.PTRACE_CONT
}

// breakable reports whether a breakpoint at an address does no harm. At an instruction that enters the kernel it would: behind a system call
// that is stepped over the kernel sends SIGTRAP, whoever has asked for the step (report_syscall_exit in arch/arm64/kernel/ptrace.c).
func breakable(tid int, at arch.Addr) bool {
	const svcMask, svc = 0xffe0001f, 0xd4000001 // svc #imm16 (Arm ARM, C6.2)
	var b [4]byte
	return readVM(tid, b[:], at) == nil && binary.LittleEndian.Uint32(b[:])&svcMask != svc
}
