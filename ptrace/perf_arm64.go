package ptrace

// perfRegSP is the number of the stack pointer in a sample of registers: PERF_REG_ARM64_SP of asm/perf_regs.h.
const perfRegSP = 31

// breakLen is the length of an execution breakpoint, in bytes: an instruction (arch_build_bp_info in arch/arm64/kernel/hw_breakpoint.c).
const breakLen = 4
