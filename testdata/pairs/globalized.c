// D3: a static variable and a static function become global. They stay what they are.
// Changed: answer
// Verdict: ok
// Before: 1 1
// After: 2 2!
// Reverted: 3 3
#include "pair.h"

#if V == 1
#define SCOPE static
#else
#define SCOPE
#endif

SCOPE int count;
NOINLINE SCOPE int step(void) { return ++count; }

void answer(void)
{
	int n = step();
	printf(V == 1 ? "%d %d\n" : "%d %d!\n", n, count);
}
