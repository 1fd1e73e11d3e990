// D15: two names of one function become two functions.
// Changed: answer
// Added: second
// Verdict: refused other name
#include "pair.h"

NOINLINE int first(int x) { return x + 1; }
#if V == 1
int second(int x) __attribute__((alias("first")));
#else
NOINLINE int second(int x) { return x + 2; }
#endif
static int (*volatile stored)(int);

void answer(void)
{
	if (!stored)
		stored = second;
	printf("%d %d %d\n", first(V), second(V), stored(V));
}
