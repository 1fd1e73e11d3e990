// D6: a variable without a name, in assembly. The new code goes on with the one that the process has.
// Changed: count
// Verdict: ok
// Before: 1
// After: 4
// Reverted: 3
#include "pair.h"

__asm__(".data\n.balign 8\n.Lcount: .quad 0\n.text\n");

NOINLINE static void step(void)
{
	long *p;

	__asm__(ADDRESS("%0", ".Lcount") : "=r"(p));
	++*p;
}

NOINLINE static long count(void)
{
	long n;

	__asm__ volatile(VALUE("%0", ".Lcount") : "=r"(n));
	return n * V;
}

void answer(void)
{
	step();
	printf("%ld\n", count());
}
