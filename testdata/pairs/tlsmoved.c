// D12: a thread-local variable goes away, so that the others move; a changed function finds them where the running threads have them.
// Changed: answer
// Verdict: ok
// Before: 6 21
// After: 16 31
// Reverted: 17 32
#include "pair.h"

static __thread int kept = 5;
#if V == 1
static __thread char gone[64] = "gone";
#endif
static __thread int before = 20;
static volatile int sink;

void answer(void)
{
#if V == 1
	sink = gone[1];
	int step = 1;
#else
	int step = 10;
#endif
	kept += V == 1 ? 1 : step;
	before += V == 1 ? 1 : step;
	printf("%d %d\n", kept, before);
}
