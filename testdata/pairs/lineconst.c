// D2: a constant that happens to be a line number of its function is still a constant: nothing moved in the file.
// Changed: limit
// Verdict: ok
// Before: 15
// After: 16
// Reverted: 15
#include "pair.h"

#define LIMIT (V == 1 ? 15 : 16)

static volatile int sink;
NOINLINE int limit(void)
{
	sink = 1;
	sink = 2;
	sink = 3;
	return LIMIT;
}

void answer(void) { printf("%d\n", limit()); }
