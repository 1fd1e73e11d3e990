// P11: functions shorter than the jump use the padding behind them.
// Changed: nothing one
// Verdict: ok
// Before: 1
// After: 2
// Reverted: 1
#include "pair.h"

int calls;
NOINLINE int one(void) { return V; }
#if V == 1
NOINLINE void nothing(void) { __asm__(""); }
#else
NOINLINE void nothing(void) { calls++; }
#endif

void answer(void)
{
	nothing();
	printf("%d\n", one());
}
