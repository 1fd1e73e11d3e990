package ptrace

// perfRegSP is the number of the stack pointer in a sample of registers: PERF_REG_X86_SP of asm/perf_regs.h.
const perfRegSP = 7
