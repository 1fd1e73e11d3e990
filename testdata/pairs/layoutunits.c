// D10: two files have a struct of the same name; one of them changes.
// Sources: pairs/layoutunits_b.c
// Changed: answer
// Types: struct item
// Verdict: ack layout:struct item
// Before: 5 2
// After: 0 2
// Reverted: 5 2
#include "pair.h"

struct item {
#if V == 2
	int first;
#endif
	int n;
	long spare;
};

static struct item *volatile mine;
int other(void);

void answer(void)
{
	if (!mine) {
		struct item *i = calloc(1, sizeof *i);
		i->n = 5;
		mine = i;
	}
	printf("%d %d\n", mine->n, other());
}
