// D5: a function changes that also lives on in another, into which it was inlined.
// Changed: check user
// Verdict: ok
// Before: 3 4
// After: 103 104
// Reverted: 3 4
#include "pair.h"

static volatile int seen;
int check(int x)
{
	seen = x;
#if V == 2
	if (seen > 2)
		return x + 100;
#endif
	return x;
}
NOINLINE int user(int x)
{
	seen = 0;
	return check(x + 1);
}
static int (*volatile direct)(int) = check;

void answer(void)
{
	int a = direct(3);
	printf("%d %d\n", a, user(3));
}
