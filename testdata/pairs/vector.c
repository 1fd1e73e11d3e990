// D6: vector constants, and new data that wide accesses need aligned.
// Flags: -mavx2
// Changed: mix answer
// Objects: wide
// Verdict: ok
// Before: 36 0
// After: 72 28
// Reverted: 36 0
#include "pair.h"

typedef int vec __attribute__((vector_size(32)));
static char odd[3] __attribute__((used)) = "od";
#if V == 2
static vec wide[2] __attribute__((aligned(64))) = { { 0, 1, 2, 3, 4, 5, 6, 7 } };
#endif

NOINLINE void mix(vec *v)
{
#if V == 1
	*v += (vec){ 1, 2, 3, 4, 5, 6, 7, 8 };
#else
	*v += (vec){ 2, 4, 6, 8, 10, 12, 14, 16 };
#endif
}
NOINLINE static int sum(const vec *v)
{
	int t = 0;
	for (int i = 0; i < 8; i++)
		t += (*v)[i];
	return t;
}

void answer(void)
{
	vec v = { 0 }, w = { 0 };

	mix(&v);
#if V == 2
	w = wide[0];
	wide[1] += w;
#endif
	printf("%d %d\n", sum(&v), sum(&w));
}
