// D6: a variable without a name, in assembly. One that is only read could not be told from a constant; this one is written elsewhere, and a copy of it would stay behind.
// Changed: count
// Verdict: refused may write to it
// Before: 1
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
