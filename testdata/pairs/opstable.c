// D8: a constant structure of function pointers and strings that is passed by address is renewed where it is.
// Objects: ops spare
// Verdict: ack const:ops const:spare
// Before: old 1
// After: new 2
// Reverted: old 1
#include "pair.h"

struct ops { const char *name; int (*run)(void); };
NOINLINE static int one(void) { return 1; }
NOINLINE static int two(void) { return 2; }
static const struct ops ops = { V == 1 ? "old" : "new", V == 1 ? one : two };
static const struct ops spare = { "spare", V == 1 ? two : one };
static const struct ops *volatile current = &ops, *volatile other = &spare;

void answer(void)
{
	const struct ops *o = current;

	if (!other)
		abort();
	printf("%s %d\n", o->name, o->run());
}
