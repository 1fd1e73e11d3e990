// One instruction of arm64 loads two objects that lie side by side, as compilers have it that know their order (section anchors).
// Changed: sum
// Objects: before
// Verdict: ok
// Before: 3 3
// After: 103 3
// Reverted: 3 3
#include "pair.h"

__asm__(".data\n.balign 16\n"
#if V == 2
	".globl before\n.type before,@object\n.size before,64\nbefore: .fill 64,1,3\n"
#endif
	".globl first\n.type first,@object\n.size first,8\nfirst: .quad 1\n"
	".globl second\n.type second,@object\n.size second,8\nsecond: .quad 2\n.text\n");

#ifdef __aarch64__
#define BOTH(a, b) __asm__(ADDRESS("%0", "first") "ldp %0, %1, [%0]" : "=&r"(a), "=&r"(b))
#else
#define BOTH(a, b) __asm__("mov first(%%rip), %0\n\tmov second(%%rip), %1" : "=&r"(a), "=&r"(b))
#endif

NOINLINE long sum(void)
{
	long a, b;

	BOTH(a, b);
	return a + b + (V == 2 ? 100 : 0);
}

NOINLINE long total(void)
{
	long a, b;

	BOTH(a, b);
	return a + b;
}

void answer(void) { printf("%ld %ld\n", sum(), total()); }
