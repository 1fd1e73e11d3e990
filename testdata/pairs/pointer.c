// One function, one identity: a pointer that was stored before the patch leads to the new body, and compares equal
// to one that is taken after it.
// Changed: callback answer
// Verdict: ok
// Before: old equal
// After: new equal!
// Reverted: old equal
#include "pair.h"

typedef const char *callback_fn(void);
NOINLINE const char *callback(void) { return V == 1 ? "old" : "new"; }
static callback_fn *volatile stored;

void answer(void)
{
	if (!stored)
		stored = callback;
	printf(V == 1 ? "%s %s\n" : "%s %s!\n", stored(), stored == callback ? "equal" : "different");
}
