// D17: the base of an array whose index never is zero, which lies within the array in front; a new object comes between the two.
// Changed: letter
// Objects: between
// Verdict: ok
// Before: 103 7
// After: 203 7
// Reverted: 103 7
#include "pair.h"

__asm__(".data\n.balign 32\n"
	".globl front\n.type front,@object\n.size front,128\nfront: .fill 32,4,7\n"
#if V == 2
	".type between,@object\n.size between,64\nbetween: .fill 64\n"
#endif
	".globl letters\n.type letters,@object\n.size letters,32\nletters: .long 1,2,3,4,5,6,7,8\n.text\n");
extern int front[32];

NOINLINE int letter(long c)
{
	const int *base;
	int n;

	// As gcc -O2 writes letters[c - 16].
#ifdef __aarch64__
	__asm__(ADDRESS("%0", "letters-64") "ldr %w1, [%0, %2, lsl #2]" : "=&r"(base), "=r"(n) : "r"(c));
#else
	__asm__("lea letters-64(%%rip), %0\n\tmov (%0,%2,4), %1" : "=&r"(base), "=r"(n) : "r"(c));
#endif
	return n + V * 100;
}

void answer(void) { printf("%d %d\n", letter(18), front[5]); }
