// D17: the end of a table is passed on by a function that does not name the table otherwise; a text follows the table. Whichever
// of the two the old body means, it has the same address as in the new body.
// Changed: last
// Verdict: ok
// Before: 7 a text that follows
// After: 8 a text that follows
// Reverted: 7 a text that follows
#include "pair.h"

__asm__(".section .rodata\n"
	".balign 8\n"
	".globl table\n.type table,@object\n.size table,24\ntable: .long 1,2,3,4,5,6\n"
	".Ltext: .asciz \"a text that follows\"\n"
	".text\n");

NOINLINE int below(const int *end) { return end[-1]; }
NOINLINE int last(void)
{
	const int *end;

	__asm__(ADDRESS("%0", "table+24") : "=r"(end));
	return below(end) + V;
}
NOINLINE const char *text(void)
{
	const char *p;

	__asm__(ADDRESS("%0", ".Ltext") : "=r"(p));
	return p;
}

void answer(void) { printf("%d %s\n", last(), text()); }
