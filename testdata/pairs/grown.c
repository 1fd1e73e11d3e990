// D10: a variable grows.
// Changed: answer
// Objects: slots
// Verdict: refused changes its size
#include "pair.h"

static int slots[V == 1 ? 4 : 8];

void answer(void)
{
	int t = 0;
	for (unsigned i = 0; i < sizeof slots / sizeof *slots; i++)
		t += slots[i]++;
	printf("%d\n", t);
}
