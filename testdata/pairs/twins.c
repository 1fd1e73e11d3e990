// D3: static functions and objects of one name in two files, of equal size and shape. A pointer that is
// stored before the patch is called after it, and says which twin it reached.
// Sources: pairs/twins_b.c
// Changed: pick pick
// Verdict: ok
// Before: a 1 b 101
// After: a 12 b 112
// Reverted: a 13 b 113
#include "pair.h"

typedef int handler(void);
handler *twin_b(void);
int use_b(int step);

static int state = 0;
NOINLINE static int twin(void) { return state; }
static handler *volatile stored;

NOINLINE static int pick(int step)
{
#if V == 1
	state += step;
#else
	state += step + 10;
#endif
	return stored();
}

void answer(void)
{
	if (!stored)
		stored = twin;
#if V == 1
	int a = pick(1);
	printf("a %d b %d\n", a, use_b(1));
#else
	int a = pick(1);
	printf("a %d b %d\n", a, use_b(1));
#endif
}
