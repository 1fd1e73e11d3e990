// D26: a function that only the old build has stays reachable by a pointer that was stored before, and calls another one that is gone, which
// calls one that is replaced: it would pass what the new body does not expect (here, no divisor).
// Changed: answer part
// Removed: whole twice
// Added: half
// Verdict: refused calls part
#include "pair.h"

static int (*volatile kept)(int);
static volatile int divisor = 2;

#if V == 1
NOINLINE static int part(int n) { return n / divisor; }
NOINLINE static int twice(int n) { return part(n) + part(n + 1); }
NOINLINE static int whole(int n) { return twice(n) * 3; }
#else
NOINLINE static int part(int n, int by) { return n / by; }
NOINLINE static int half(int n) { return part(n, divisor); }
#endif

#if V == 1
#define HOOK whole
#define FORMAT "%d\n"
#else
#define HOOK half
#define FORMAT "%d!\n"
#endif

void answer(void)
{
	if (!kept)
		kept = HOOK;
	printf(FORMAT, kept(7));
}
