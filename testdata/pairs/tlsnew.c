// D12: a new thread-local variable.
// Changed: answer
// Objects: depth
// Verdict: refused thread-local
#include "pair.h"

static __thread int calls = 5;
#if V == 2
static __thread int depth = 7;
#endif

void answer(void)
{
	calls++;
#if V == 2
	depth++;
	printf("%d %d\n", calls, depth);
#else
	printf("%d\n", calls);
#endif
}
