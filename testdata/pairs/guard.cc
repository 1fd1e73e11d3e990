// D11: a new function-local static with a constructor: its guard starts at zero, so that it is constructed at the first call after the patch.
// On arm64 section anchors would reach what is new from what stays, which is refused by name.
// Flags: -fno-exceptions
// arm64-Flags: -fno-exceptions -fno-section-anchors
// Changed: answer
// Objects: _ZGVZ6answerE7counter _ZZ6answerE7counter
// Verdict: ok
// Before: 41
// After: 81 made 2
// Reverted: 43
extern "C" {
#include "pair.h"
}

static volatile int calls, made;

struct Counter {
	int n;
	NOINLINE Counter() : n(atoi("40")) { made = made + 1; }
};

NOINLINE static int start(void)
{
	static Counter both; // has its guard in both builds
	return both.n;
}

extern "C" void answer(void)
{
	calls = calls + 1;
#if V == 1
	printf("%d\n", start() + calls);
#else
	static Counter counter;
	printf("%d made %d\n", start() + ++counter.n, made);
#endif
}
