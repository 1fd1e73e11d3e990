// D17: a walk over an array that steps before it looks back, so that it accesses memory below its pointer; a new object comes between the arrays.
// Changed: sum
// Objects: between
// Verdict: ok
// Before: 10
// After: 20
// Reverted: 10
#include "pair.h"

__asm__(".data\n.balign 32\n"
	".globl front\n.type front,@object\n.size front,64\nfront: .fill 64\n"
#if V == 2
	".type between,@object\n.size between,64\nbetween: .fill 64\n"
#endif
	".globl walked\n.type walked,@object\n.size walked,20\nwalked: .long 1,2,3,4,0\n.text\n");

NOINLINE int sum(void)
{
	int total, n;

#ifdef __aarch64__
	__asm__(ADDRESS("x16", "walked") "mov %w0, #0\n"
		"1:\tadd x16, x16, #4\n\tldr %w1, [x16, #-4]\n\tadd %w0, %w0, %w1\n\tcbnz %w1, 1b"
		: "=&r"(total), "=&r"(n) : : "x16");
#else
	__asm__("lea walked(%%rip), %%rcx\n\txor %0, %0\n"
		"1:\tadd $4, %%rcx\n\tmov -4(%%rcx), %1\n\tadd %1, %0\n\ttest %1, %1\n\tjne 1b"
		: "=&r"(total), "=&r"(n) : : "rcx", "cc");
#endif
	return total * V;
}

void answer(void) { printf("%d\n", sum()); }
