// D10, D17: a function that does not differ takes nothing but the end of an array that grew, where another array begins in both builds: it may
// be meant for that one.
// On arm64 its reader makes the end by an addition to the start, which is how a section anchor leads to the next object, too: ambiguous.
// Flags: -fno-toplevel-reorder
// Changed: total
// Objects: list
// Verdict: ack grown:list
// arm64-Verdict: refused it is the end of list and the start of behind
#include "pair.h"

static int list[V * 8] = {1, 1, 1, 1, 1, 1, 1, 1};
static int behind[16] = {2};

NOINLINE static void mark(int *p, int times)
{
	while (times--)
		*p += 1;
}

NOINLINE static void last(void)
{
	int *end;

#if defined __aarch64__ && V == 1
	__asm__(ADDRESS("%0", "list+32") : "=r"(end));
#elif defined __aarch64__
	__asm__(ADDRESS("%0", "list+64") : "=r"(end));
#else
	__asm__("lea %c1(%%rip), %0" : "=r"(end) : "i"(list + V * 8));
#endif
	mark(end, 1);
}

NOINLINE static int total(void)
{
	int t = 0;

	for (int i = 0; i < V * 8; i++)
		t += ++list[i];
	return t;
}

void answer(void)
{
	last();
	printf("%d %d\n", total(), behind[3]);
}
