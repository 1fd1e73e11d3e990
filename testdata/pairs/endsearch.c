// D17: a binary search that counts down from the end of its table, which the code does not name otherwise; other data follows.
// Changed: search
// Verdict: ok
// Before: 7 13 31
// After: 8 14 32
// Reverted: 7 13 31
#include "pair.h"

NOINLINE unsigned search(unsigned n)
{
	static const unsigned primes[] = { 7, 13, 31, 61, 127, 251, 509, 1021 };
	const unsigned *low = primes, *high = primes + sizeof primes / sizeof *primes;

	while (low != high) {
		const unsigned *mid = low + (high - low) / 2;
		if (n > *mid)
			low = mid + 1;
		else
			high = mid;
	}
	return *low + V - 1;
}
NOINLINE static int numbers(const unsigned *p) { return p[0] == 99; }
static const unsigned following[2] = { 99 };

void answer(void)
{
	if (!numbers(following))
		abort();
	printf("%u %u %u\n", search(1), search(8), search(20));
}
