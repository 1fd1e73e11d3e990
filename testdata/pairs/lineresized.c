// D2, D8: a function differs only in a line number, but reads a constant that gets a new place: it is in the patch.
// Changed: total first
// Objects: primes
// Verdict: ok
// Before: 10 2
// After: 28 17
// Reverted: 10 2
#include "pair.h"

NOINLINE void failed(int line) { fprintf(stderr, "%d\n", line); }
#if V == 1
static const int primes[] = { 2, 3, 5 };
#else

static const int primes[] = { 17, 3, 5, 1, 2 };
#endif
static volatile unsigned zero;

NOINLINE int total(void)
{
	int t = 0;
	for (unsigned i = zero; i < sizeof primes / sizeof *primes; i++)
		t += primes[i];
	return t;
}
#if V == 2
#line 300 /* as if many lines had been put in */
#endif
NOINLINE int first(unsigned i)
{
	if (i > 2)
		failed(__LINE__);
	return primes[i];
}

void answer(void) { printf("%d %d\n", total(), first(zero)); }
