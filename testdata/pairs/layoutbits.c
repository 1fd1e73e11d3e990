// D10: a bit-field grows by one bit, so that the next one moves; the size stays.
// Changed: answer
// Types: struct flags
// Verdict: ack layout:struct flags
// Before: 1 5
// After: 5 2
// Reverted: 1 5
#include "pair.h"

struct flags {
	unsigned on : V == 1 ? 2 : 3;
	unsigned level : 8;
};

static volatile struct flags flags;
static volatile int set;

void answer(void)
{
	if (!set) {
		set = 1;
		flags.on = 1;
		flags.level = 5;
	}
	printf("%d %d\n", flags.on, flags.level);
}
