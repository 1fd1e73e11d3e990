// D10: the rows of an array get longer: what it holds would mean something else in its new place. It has one row in use, which is right
// wherever it starts; only the user can know.
// On arm64 section anchors would reach what is new from what stays, which is refused by name.
// arm64-Flags: -fno-section-anchors
// Changed: total
// Objects: grid
// Verdict: ack grown:grid
// Before: 0
// After: 3
// Reverted: 6
#include "pair.h"

static int grid[4][V == 1 ? 3 : 5];
static volatile unsigned row;

NOINLINE static int total(void)
{
	int t = 0;
	for (unsigned i = 0; i < sizeof *grid / sizeof **grid; i++)
		t += i < 3 ? grid[row][i]++ : 0;
	return t;
}

void answer(void) { printf("%d\n", total()); }
