// D5: a function that exists only where it is inlined changes, and is all that two others differ in.
// Changed: first second
// Verdict: ok
// Before: 17 2026
// After: 27 2036
// Reverted: 17 2026
#include "pair.h"

static inline int base(int x)
{
	int sum = 0;
	for (int i = 0; i < x; i++)
		sum += V == 1 ? i * 2 : i * 3 + 1;
	return sum;
}
int twice = 1000;
NOINLINE int first(int x) { return base(x) + 5; }
NOINLINE int second(int x, int y) { return base(x) + y * twice + 14; }

void answer(void) { printf("%d %d\n", first(4), second(4, 2)); }
