// D10: a variable grows. It gets a new place, and takes what it holds along; a revert carries that back.
// Changed: answer
// Objects: slots
// Verdict: ack grown:slots
// Before: 0
// After: 4
// Reverted: 8
#include "pair.h"

static int slots[V == 1 ? 4 : 8];
static volatile unsigned used = 4;

void answer(void)
{
	int t = 0;
	for (unsigned i = 0; i < used && i < sizeof slots / sizeof *slots; i++)
		t += slots[i]++;
	printf("%d\n", t);
}
