package ptrace

// perfEvents says whether perf events are set in threads of the target.
const perfEvents = true

// perfRegSP is the number of the stack pointer in a sample of registers: PERF_REG_X86_SP of asm/perf_regs.h.
const perfRegSP = 7

// breakLen is the length of an execution breakpoint, in bytes: that of a long (arch_build_bp_info in arch/x86/kernel/hw_breakpoint.c).
const breakLen = 8
