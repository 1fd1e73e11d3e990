// D16: the parameters of a function change, and a running variable holds its address, which the new build would not put there.
// Changed: price answer
// Added: plain
// Verdict: ack signature:price
#include "pair.h"

#if V == 1
NOINLINE static int price(int n) { return n * 2; }
#else
NOINLINE static int price(int n, double factor) { return (int)(n * factor); }
NOINLINE static int plain(int n) { return price(n, 3); }
#endif

static int (*volatile current)(int);

NOINLINE static int call(int n) { return current(n); }

void answer(void)
{
	if (!current)
		current = V == 1 ? (int (*)(int))price : (int (*)(int))
#if V == 1
			price;
#else
			plain;
#endif
	printf("%d\n", call(7));
}
