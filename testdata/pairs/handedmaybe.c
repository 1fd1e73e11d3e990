// D17: as handed, but the function that gets the address does not access it on one path: the end of the array could be meant.
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

NOINLINE void add(long *counter, long n)
{
	if (n > 0)
		*counter += n;
}

void answer(void)
{
	long sum = limits[0] + limits[1] + limits[2] + limits[3], more = behind[1];

#if V == 2
	add(&misses, sum);
	more += misses;
#endif
	printf("%ld %ld\n", sum, more);
}
