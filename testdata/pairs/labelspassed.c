// D25: a function hands out its table of labels, so that others jump into the old body.
// Changed: run
// Verdict: refused passes on
#include "pair.h"

static void *const *volatile table;

NOINLINE int run(int op)
{
	static void *const label[] = { &&inc, &&dbl, &&end };
	int x = V;
	table = label;
	goto *table[op];
inc:
	x++;
	goto *table[1];
dbl:
	x *= 2;
	goto *table[2];
end:
	return x;
}

void answer(void) { printf("%d\n", run(0)); }
