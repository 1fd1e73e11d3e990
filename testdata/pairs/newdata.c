// D11: a new global, a new function-local static with an initial value, and a new helper function. State that both builds have stays.
// On arm64 section anchors would reach what is new from what stays, which is refused by name.
// arm64-Flags: -fno-section-anchors
// Changed: answer
// Added: bump
// Objects: hits last.0
// Verdict: ok
// Before: calls 1
// After: calls 2 hits 1 last 7
// Reverted: calls 3
#include "pair.h"

static int calls;
#if V == 2
int hits;
NOINLINE static int bump(void)
{
	static int last = 6;
	hits++;
	return ++last;
}
#endif

void answer(void)
{
	calls++;
#if V == 1
	printf("calls %d\n", calls);
#else
	int last = bump();
	printf("calls %d hits %d last %d\n", calls, hits, last);
#endif
}
