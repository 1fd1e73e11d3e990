// D10: a library's own variable grows; one that it exports keeps its size. The unchanged function that uses the first is in the patch.
// On arm64 section anchors would reach what is new from what stays, which is refused by name, and arrays are not aligned to 16 bytes, so that
// the array's start could be total's end.
// arm64-Flags: -fno-section-anchors
// Changed: answer
// Verdict: ack
// Before: 1 of 2 total 1
// After: 2 of 4 total 2
// Reverted: 3 of 2 total 3
#include "lib.h"

static long room[V == 1 ? 2 : 4] __attribute__((aligned(16)));
EXPORT long total;
static volatile unsigned zero;

NOINLINE static long first(void) { return ++room[zero]; }
EXPORT void answer(void)
{
	long n = first();

	total++;
	printf("%ld of %d total %ld\n", n, (int)(sizeof room / sizeof *room), total);
}
