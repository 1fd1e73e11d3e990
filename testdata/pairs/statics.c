// D3: function-local statics are renumbered because a new one comes first; the old ones keep their values.
// Changed: first
// Added: extra
// Objects: n.1
// Verdict: ok
// Before: 1 10
// After: 102 20
// Reverted: 3 30
#include "pair.h"

#if V == 2
NOINLINE static int extra(void)
{
	static int n = 99;
	return ++n;
}
#endif
NOINLINE static int first(void)
{
	static int n = 0;
#if V == 2
	return ++n + extra();
#else
	return ++n;
#endif
}
NOINLINE static int second(void)
{
	static int n = 0;
	return n += 10;
}

void answer(void)
{
	int a = first(), b = second();
	printf("%d %d\n", a, b);
}
