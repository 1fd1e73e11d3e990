// D13: functions and variables that are preemptible, protected, hidden and static change; calls go through the PLT where they did.
// Changed: open_step guarded secret local answer
// Verdict: ok
// Before: 1 2 3 4 count 4
// After: 11 12 13 14 count 48!
// Reverted: 1 2 3 4 count 52
#include "lib.h"

EXPORT int count;
HIDDEN int inside;
EXPORT int open_step(int x) { count += V == 1 ? 1 : 11; return x + (V == 1 ? 0 : 10); }
PROTECTED int guarded(int x) { count += V == 1 ? 1 : 11; return x + (V == 1 ? 0 : 10); }
HIDDEN int secret(int x) { inside += V == 1 ? 1 : 11; return x + (V == 1 ? 0 : 10); }
NOINLINE static int local(int x) { inside += V == 1 ? 1 : 11; return x + (V == 1 ? 0 : 10); }

EXPORT void answer(void)
{
	int a = open_step(1), b = guarded(2), c = secret(3), d = local(4);

	printf(V == 1 ? "%d %d %d %d count %d\n" : "%d %d %d %d count %d!\n", a, b, c, d, count + inside);
}
