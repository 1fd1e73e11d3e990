// D3: a function-local static goes away and another function gets one of the same name: the memory is not the same variable's.
// Changed: first second
// Objects: n.0 n.0
// Verdict: refused told
#include "pair.h"

NOINLINE static int first(void)
{
#if V == 1
	static int n = 10;
	return ++n;
#else
	return 10;
#endif
}
NOINLINE static int second(void)
{
#if V == 1
	return 500;
#else
	static int n = 500;
	return ++n;
#endif
}

void answer(void)
{
	int a = first();
	printf("%d %d\n", a, second());
}
