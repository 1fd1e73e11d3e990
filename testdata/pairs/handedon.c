// D17: as handed, but the function that gets the address only passes it on, and reads it behind a call, which need not come back.
// Flags: -fno-toplevel-reorder
// Changed: answer
// Objects: misses
// Verdict: refused ambiguous: it is the end of limits and the start of misses
#include "pair.h"

static long limits[8] __attribute__((used)) = {1, 2, 3, 4};
#if V == 2
static long misses = 5;
#endif
static long behind[8] __attribute__((used)) = {7};

NOINLINE int within(const long *p, const long *start) { return p - start < 8; }
NOINLINE long add(long *counter, const long *start)
{
	if (within(counter, start))
		exit(1);
	return *counter;
}

void answer(void)
{
	long sum = limits[0] + limits[1] + limits[2] + limits[3], more = behind[1];

#if V == 2
	more += add(&misses, behind);
#endif
	printf("%ld %ld\n", sum, more);
}
