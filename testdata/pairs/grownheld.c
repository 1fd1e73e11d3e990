// D10: a variable grows that a table of constants leads to, and whose address the program keeps. The unchanged functions that use it are
// in the patch, the table is renewed, and the user is told of the pointer that goes on leading to the old place.
// On arm64 section anchors would reach what is new from what stays, which is refused by name.
// arm64-Flags: -fno-section-anchors
// Changed: answer first
// Objects: room rooms
// Verdict: ack grown:room
// Before: 1 1 1 1
// After: 2 2 1 2 of 6
// Reverted: 3 3 3 3
#include "pair.h"

static long room[V == 1 ? 2 : 6] __attribute__((aligned(16)));
static long single;
static long *const rooms[] = { room, &single };
static long *kept;
static volatile unsigned zero;

NOINLINE static long first(void) { return ++room[zero]; }
NOINLINE static long through(void) { return rooms[zero][0]; }
NOINLINE static void keep(long *p) { kept = p; }

void answer(void)
{
	if (!kept)
		keep(room);
	long n = first();
#if V == 1
	printf("%ld %ld %ld %ld\n", n, through(), kept[zero], room[zero]);
#else
	printf("%ld %ld %ld %ld of %d\n", n, through(), kept[zero], room[zero], (int)(sizeof room / sizeof *room));
#endif
}
