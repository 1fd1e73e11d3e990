// D2: a line is put in above two checks: only __LINE__ moves in check1 and check2.
// Changed: answer
// Line: check1 check2
// Verdict: ok
// Before: 5
// After: 6
// Reverted: 5
#include "pair.h"

NOINLINE void failed(const char *file, int line) { fprintf(stderr, "%s:%d\n", file, line); }
#if V == 2
#line 100 /* as if many lines had been put in */
#endif
NOINLINE int check1(int x)
{
	if (x < 0)
		failed("line.c", __LINE__);
	return x + 1;
}
NOINLINE int check2(int x)
{
	if (x > 1000)
		failed("line.c", __LINE__);
	return x + 2;
}

void answer(void) { printf("%d\n", check1(check2(2)) + V - 1); }
