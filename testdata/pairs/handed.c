// D17: a new counter begins where an array ends, and its address is handed to a function that accesses it on every path, of which one retries, as
// outlined atomic operations do: by a call and by a tail call.
// Flags: -fno-toplevel-reorder
// Changed: answer
// Added: seen
// Objects: misses
// Verdict: ok
// Before: 10 0
// After: 10 6
// Reverted: 10 0
#include "pair.h"

static long limits[8] __attribute__((used)) = {1, 2, 3, 4};
#if V == 2
static long misses = 5;
#endif
static long behind[8] __attribute__((used)) = {7};

NOINLINE void add(int fast, long *counter, long n)
{
	if (fast) {
		*counter += n;
		return;
	}
	for (long old = *counter; !__atomic_compare_exchange_n(counter, &old, old + n, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);)
		;
}

#if V == 2
NOINLINE static void seen(int n)
{
	if (n > limits[3])
		add(n & 1, &misses, 1);
	else
		add(1, &misses, -limits[4]);
}
#endif

void answer(void)
{
	long sum = limits[0] + limits[1] + limits[2] + limits[3], more = behind[1];

#if V == 2
	seen(9);
	add((int)sum & 1, &misses, limits[5]);
	more += misses;
#endif
	printf("%ld %ld\n", sum, more);
}
