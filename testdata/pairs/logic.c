// One function computes something else.
// Changed: price
// Verdict: ok
// Before: 10
// After: 12
// Reverted: 10
#include "pair.h"

NOINLINE int price(int n)
{
#if V == 1
	return n * 5;
#else
	return n * 5 + (n > 1 ? 2 : 0);
#endif
}

void answer(void) { printf("%d\n", price(2)); }
