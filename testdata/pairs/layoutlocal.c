// D10: the struct that changes lives in the stack frames of functions of the patch only.
// Changed: sum answer
// Types: struct job
// Verdict: ok
// Before: 3
// After: 6
// Reverted: 3
#include "pair.h"

struct job {
	int a;
#if V == 2
	int more;
#endif
	int b;
};

NOINLINE static int sum(const struct job *j)
{
#if V == 1
	return j->a + j->b;
#else
	return j->a + j->more + j->b;
#endif
}

void answer(void)
{
	struct job j = { .a = 1, .b = 2 };
#if V == 2
	j.more = 3;
#endif
	printf("%d\n", sum(&j));
}
