// D17: the start of an array is made from its end, and both are passed on; a new object lies behind the array in the new build.
// Changed: all
// Objects: between
// Verdict: refused is ambiguous: it
#include "pair.h"

__asm__(".data\n.balign 64\n"
	".globl front\n.type front,@object\n.size front,64\nfront: .long 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
#if V == 2
	".globl between\n.type between,@object\n.size between,64\nbetween: .fill 64,1,3\n"
#endif
	".globl behind\n.type behind,@object\n.size behind,64\nbehind: .long 1000\n.fill 60\n.text\n");
extern int behind[16];

NOINLINE int sum(const int *p, const int *end)
{
	int n = 0;

	while (p != end)
		n += *p++;
	return n;
}
NOINLINE int all(void)
{
	const int *start, *end;

	// As gcc -Os writes sum(front, front + 16).
#ifdef __aarch64__
	__asm__(ADDRESS("%1", "front+64") "sub %0, %1, #64" : "=r"(start), "=&r"(end));
#else
	__asm__("lea front+64(%%rip), %1\n\tlea -64(%1), %0" : "=r"(start), "=&r"(end));
#endif
	return sum(start, end) + V;
}

void answer(void) { printf("%d %d\n", all(), behind[0]); }
