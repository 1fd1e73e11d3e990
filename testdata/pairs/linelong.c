// D2: the same beyond line 65535 of a source in one file, where a number is made by two instructions on arm64.
// Changed: answer
// Line: check1 check2
// Verdict: ok
// Before: 5
// After: 6
// Reverted: 5
#include "pair.h"

NOINLINE void failed(const char *file, int line) { fprintf(stderr, "%s:%d\n", file, line); }
#if V == 1
#line 70000
#else
#line 131000
#endif
NOINLINE int check1(int x)
{
	if (x < 0)
		failed("linelong.c", __LINE__);
	return x + 1;
}
NOINLINE int check2(int x)
{
	if (x > 1000)
		failed("linelong.c", __LINE__);
	return x + 2;
}

void answer(void) { printf("%d\n", check1(check2(2)) + V - 1); }
