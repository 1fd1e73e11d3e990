// D17: a table without a name, walked from its start to its end; both addresses are in the code.
// Changed: sum
// Verdict: ok
// Before: 36
// After: 72
// Reverted: 36
#include "pair.h"

__asm__(".section .rodata\n"
	".balign 16\n"
	".Ltable: .long 1,2,3,4,5,6,7,8\n"
	".Lend: .long 1000,2000,3000,4000\n"
	".text\n");

NOINLINE int sum(void)
{
	const int *p, *end;
	int t = 0, k = V;

	__asm__(ADDRESS("%0", ".Ltable") ADDRESS("%1", ".Lend") : "=r"(p), "=r"(end));
	while (p != end)
		t += *p++ * k;
	return t;
}
NOINLINE const int *other(void)
{
	const int *p;

	__asm__(ADDRESS("%0", ".Lend") : "=r"(p));
	return p;
}

void answer(void)
{
	if (*other() != 1000)
		abort();
	printf("%d\n", sum());
}
