// D8: a named constant gets longer: it has a new place, and every function that reads it is in the patch.
// Changed: total count smallest
// Objects: primes
// Verdict: ok
// Before: 10 3 2
// After: 28 5 2
// Reverted: 10 3 2
#include "pair.h"

#if V == 1
static const int primes[] = { 2, 3, 5 };
#else
static const int primes[] = { 2, 3, 5, 7, 11 };
#endif
static volatile unsigned zero;

NOINLINE int total(void)
{
	int t = 0;
	for (unsigned i = zero; i < sizeof primes / sizeof *primes; i++)
		t += primes[i];
	return t;
}
NOINLINE int count(void) { return (int)(sizeof primes / sizeof *primes + zero); }
NOINLINE int smallest(unsigned i) { return primes[i]; }

void answer(void) { printf("%d %d %d\n", total(), count(), smallest(zero)); }
