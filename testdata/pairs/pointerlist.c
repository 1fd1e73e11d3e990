// D6: a list of texts without a name, which something else follows in each build: where it ends is known from the build in which the other thing is nearer.
// Changed: elsewhere
// Objects: behind
// Verdict: ok
// Before: 6 3
// After: 6 4
// Reverted: 6 3
#include "pair.h"

NOINLINE static int total(const char *const *list)
{
	int n = 0;

	while (*list)
		n += strlen(*list++);
	return n;
}

// The compiler keeps the list in .data.rel.ro.local without a symbol.
NOINLINE static int help(void)
{
	return total((const char *const[]){ "one", "two", NULL });
}

NOINLINE int elsewhere(int n) { return n + V; }

#if V == 2
static int target;
int *const behind[8] __attribute__((used)) = { &target };
#endif

void answer(void) { printf("%d %d\n", help(), elsewhere(2)); }
