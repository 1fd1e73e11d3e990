// D17: an index that was negated, from the end of an array that the function does not name otherwise; a new object lies there in the new build.
// Changed: fromend
// Objects: between
// Verdict: refused ambiguous: it is the end of front and the start of between
#include "pair.h"

__asm__(".data\n.balign 64\n"
	".globl front\n.type front,@object\n.size front,64\nfront: .long 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n"
#if V == 2
	".globl between\n.type between,@object\n.size between,64\nbetween: .fill 64,1,3\n"
#endif
	".globl behind\n.type behind,@object\n.size behind,64\nbehind: .long 1000\n.fill 60\n.text\n");
extern int behind[16];

NOINLINE int fromend(long n)
{
	const int *end;
	int s = V;

	// As gcc -O2 writes (front + 16)[-n].
#ifdef __aarch64__
	__asm__("neg %1, %1\n\t" ADDRESS("%0", "front+64") "ldr w16, [%0, %1, lsl #2]\n\tadd %w2, %w2, w16"
		: "=&r"(end), "+r"(n), "+r"(s) : : "x16");
#else
	__asm__("neg %1\n\tlea front+64(%%rip), %0\n\tadd (%0,%1,4), %2" : "=&r"(end), "+r"(n), "+r"(s));
#endif
	return s;
}

void answer(void) { printf("%d %d\n", fromend(3), behind[0]); }
