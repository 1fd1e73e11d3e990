// D17: loops that begin with a jump to their condition, over padding: one counts down from the end of an array, the other up through the new object that lies there.
// Changed: down up
// Objects: between
// Verdict: ok
// Before: 136 0 1000
// After: 137 4 1000
// Reverted: 136 0 1000
#include "pair.h"

__asm__(".data\n.balign 64\n"
	".globl front\n.type front,@object\n.size front,64\nfront: .long 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
#if V == 2
	".globl between\n.type between,@object\n.size between,64\nbetween: .long 7,3,1\n.fill 52\n"
#endif
	".globl behind\n.type behind,@object\n.size behind,64\nbehind: .long 1000\n.fill 60\n.text\n");
extern int behind[16];

NOINLINE int down(void)
{
	const int *p;
	long left;
	int n = V - 1;

#ifdef __aarch64__
	__asm__(ADDRESS("%0", "front+64") "mov %1, #16\n\tb 1f\n\tnop\n"
		"0:\tldr w16, [%0, #-4]\n\tadd %w2, %w2, w16\n\tsub %0, %0, #4\n\tsub %1, %1, #1\n"
		"1:\tcbnz %1, 0b" : "=&r"(p), "=&r"(left), "+r"(n) : : "x16");
#else
	__asm__("lea front+64(%%rip), %0\n\tmov $16, %1\n\tjmp 1f\n\tnop\n"
		"0:\tadd -4(%0), %2\n\tsub $4, %0\n\tdec %1\n"
		"1:\ttest %1, %1\n\tjne 0b" : "=&r"(p), "=&r"(left), "+r"(n));
#endif
	return n;
}

NOINLINE int up(void)
{
	int n = 0;
#if V == 2
	const int *p;
	int x;

#ifdef __aarch64__
	__asm__(ADDRESS("%0", "between") "mov %w1, #1\n\tb 1f\n\tnop\n"
		"0:\tldr %w1, [%0, #4]\n\tadd %0, %0, #4\n\tadd %w2, %w2, %w1\n"
		"1:\tcbnz %w1, 0b" : "=&r"(p), "=&r"(x), "+r"(n));
#else
	__asm__("lea between(%%rip), %0\n\tmov $1, %1\n\tjmp 1f\n\tnop\n"
		"0:\tmov 4(%0), %1\n\tadd $4, %0\n\tadd %1, %2\n"
		"1:\ttest %1, %1\n\tjne 0b" : "=&r"(p), "=&r"(x), "+r"(n));
#endif
#endif
	return n;
}

void answer(void) { printf("%d %d %d\n", down(), up(), behind[0]); }
