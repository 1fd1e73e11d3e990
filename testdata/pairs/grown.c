// D10: an array gets more elements. It has a new place, and takes what it holds along; a revert carries that back.
// Changed: total
// Objects: slots
// Verdict: ok
// Before: 0
// After: 4
// Reverted: 8
#include "pair.h"

static int slots[V == 1 ? 4 : 8];
static volatile unsigned used = 4;

NOINLINE static int total(void)
{
	int t = 0;
	for (unsigned i = 0; i < used && i < sizeof slots / sizeof *slots; i++)
		t += slots[i]++;
	return t;
}

void answer(void) { printf("%d\n", total()); }
