// D26: a function that only the old build has stays reachable by a pointer that was stored before, and calls one that is replaced. The new body
// takes the same argument and writes no further register, so that the old caller may meet it: the user is asked, and nothing is refused.
// Changed: answer part
// Removed: whole
// Added: half
// Verdict: ack removed:whole
// Before: 6
// After: 12!
// Reverted: 6
#include "pair.h"

static int (*volatile kept)(int);
static volatile int by = 3;

#if V == 1
NOINLINE static int part(int n) { return n - by; }
NOINLINE static int whole(int n) { return part(n) + 2; }
#define HOOK whole
#define FORMAT "%d\n"
#else
NOINLINE static int part(int n) { return n + by; }
NOINLINE static int half(int n) { return part(n) - 7; }
#define HOOK half
#define FORMAT "%d!\n"
#endif

void answer(void)
{
	if (!kept)
		kept = HOOK;
	printf(FORMAT, kept(7));
}
