// D10: a constant becomes a variable, and a variable a constant. Both get a new place, and every function that reads them is in the patch.
// Changed: answer limit
// Objects: top step
// Verdict: ack section:step
// Before: 3 + 1
// After: 4 + 2
// Reverted: 3 + 3
#include "pair.h"

#if V == 1
static const int top[] = { 3, 5 };
static int step[] = { 1, 1 };
#else
static int top[] = { 3, 5 };
static const int step[] = { 2, 2 };
#endif
static volatile unsigned zero;

NOINLINE static int limit(void) { return top[zero]; }

void answer(void)
{
#if V == 1
	printf("%d + %d\n", limit(), step[zero]);
	step[zero] += 2;
#else
	top[zero]++;
	printf("%d + %d\n", limit(), step[zero]);
#endif
}
