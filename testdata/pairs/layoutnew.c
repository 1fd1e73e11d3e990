// D10: new types only: nothing that exists is concerned.
// Changed: answer
// Types:
// Verdict: ok
// Before: 1
// After: 3
// Reverted: 1
#include "pair.h"

#if V == 2
enum fresh { ONE = 1, TWO };
struct extra {
	int a;
	enum fresh b;
	struct { int c; } d;
};
#endif

static volatile int one = 1;

void answer(void)
{
#if V == 1
	printf("%d\n", one);
#else
	struct extra e = { one, TWO, { 0 } };
	printf("%d\n", e.a + (int)e.b + e.d.c);
#endif
}
