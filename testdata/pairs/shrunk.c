// D10: a variable gets shorter: it stays where it is, and the user is told that its end is lost.
// Changed: answer
// Objects: slots
// Verdict: ack shrunk:slots
// Before: 8
// After: 8 of 4
// Reverted: 20
#include "pair.h"

static int slots[V == 1 ? 8 : 4];

void answer(void)
{
	int t = 0;
	for (unsigned i = 0; i < sizeof slots / sizeof *slots; i++)
		t += ++slots[i];
	printf(V == 1 ? "%d\n" : "%d of 4\n", t);
}
