// D10: a struct on the heap gets a member in the middle. What exists has the old layout, and the new code reads it wrongly: only the
// user can know whether that matters. Here it does: the sum of what is in the list is lost.
// Changed: push answer
// Types: struct rec
// Verdict: ack layout:struct rec
// Before: 7
// After: 0
// Reverted: 21
#include "pair.h"

struct rec {
	struct rec *next;
#if V == 2
	long flags;
#endif
	int n;
	char pad[64];
};

static struct rec *head;

NOINLINE static void push(int n)
{
	struct rec *r = calloc(1, sizeof *r);
	r->n = n;
	r->next = head;
	head = r;
}

void answer(void)
{
	int t = 0;
	if (!head)
		push(7);
	for (struct rec *r = head; r; r = r->next)
		t += r->n;
	printf("%d\n", t);
	if (V == 1)
		push(14);
}
