// D17: an index that counts up from below zero, from the end of an array that the function does not name otherwise; a new object lies there in the new build.
// Changed: sum
// Objects: between
// Verdict: ok
// Before: 136 1000
// After: 137 1000
// Reverted: 136 1000
#include "pair.h"

__asm__(".data\n.balign 64\n"
	".globl front\n.type front,@object\n.size front,64\nfront: .long 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
#if V == 2
	".globl between\n.type between,@object\n.size between,64\nbetween: .fill 64,1,3\n"
#endif
	".globl behind\n.type behind,@object\n.size behind,64\nbehind: .long 1000\n.fill 60\n.text\n");
extern int behind[16];

NOINLINE int sum(void)
{
	const int *end;
	long i;
	int n = V - 1;

	// As clang -O2 writes a loop over the whole of an array.
#ifdef __aarch64__
	__asm__(ADDRESS("%0", "front+64") "mov %1, #-16\n0:\tldr w16, [%0, %1, lsl #2]\n\tadd %w2, %w2, w16\n\tadds %1, %1, #1\n\tb.ne 0b"
		: "=&r"(end), "=&r"(i), "+r"(n) : : "x16", "cc");
#else
	__asm__("lea front+64(%%rip), %0\n\tmov $-16, %1\n0:\tadd (%0,%1,4), %2\n\tinc %1\n\tjne 0b" : "=&r"(end), "=&r"(i), "+r"(n));
#endif
	return n;
}

void answer(void) { printf("%d %d\n", sum(), behind[0]); }
