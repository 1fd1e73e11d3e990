package ptrace

// perfEvents says whether perf events are set in threads of the target. On arm64 they are not. What it would take to do so without harm is known, but has
// been tried on no hardware:
//   - The kernel steps over such a breakpoint. A thread that is stopped in between and let go by PTRACE_CONT loses all its breakpoints, other
//     tools' included (user_disable_single_step in arch/arm64/kernel/debug-monitors.c); it has to go on by PTRACE_SINGLESTEP.
//   - Behind a system call that is stepped over the kernel sends SIGTRAP, whoever has asked for the step (report_syscall_exit in
//     arch/arm64/kernel/ptrace.c), so that none may stand at a svc.
//   - It cannot be tested in the guest: QEMU before 8.1 goes on executing code that the kernel has just patched (mended by its commit
//     deba78709ae8), so the hooks by which the scheduler switches a thread's events on and off are passed by now and then. The
//     kernel then dereferences a null pointer in perf_ctx_sched_task_cb, in the target's thread; a program without hotpatch does so too.
//
// So nobody is seen to return: busy threads are looked at through /proc and by stops (package inject), and a timeout in a register is told by a mark
// that is put into it (timeLeft).
const perfEvents = false

// perfRegSP is the number of the stack pointer in a sample of registers: PERF_REG_ARM64_SP of asm/perf_regs.h.
const perfRegSP = 31

// breakLen is the length of an execution breakpoint, in bytes: an instruction (arch_build_bp_info in arch/arm64/kernel/hw_breakpoint.c).
const breakLen = 4
