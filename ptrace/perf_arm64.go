package ptrace

// perfEvents says whether perf events are set in threads of the target. On arm64 they are not, for three reasons, each of which could harm it:
//   - Linux 6.12 (Debian's 6.12.117, emulated) dereferences a null pointer in perf_ctx_sched_task_cb when such a thread is scheduled, once in some
//     thousand breakpoints that are set and taken away. The thread dies in the kernel, with a lock held. A program without hotpatch does so too.
//   - The kernel steps over such a breakpoint, and one that is stopped in between and let go by PTRACE_CONT loses all its breakpoints, other
//     tools' included (user_disable_single_step in arch/arm64/kernel/debug-monitors.c).
//   - Behind a system call that is stepped over it sends SIGTRAP, whoever has asked for the step (report_syscall_exit in
//     arch/arm64/kernel/ptrace.c).
//
// So nobody is seen to return: busy threads are looked at through /proc and by stops (package inject), and a timeout in a register is told by a mark
// that is put into it (timeLeft).
const perfEvents = false

// perfRegSP is the number of the stack pointer in a sample of registers: PERF_REG_ARM64_SP of asm/perf_regs.h.
const perfRegSP = 31

// breakLen is the length of an execution breakpoint, in bytes: an instruction (arch_build_bp_info in arch/arm64/kernel/hw_breakpoint.c).
const breakLen = 4
