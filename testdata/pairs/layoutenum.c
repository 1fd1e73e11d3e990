// D10: an enumerator is inserted, so that the later ones get other numbers. A number that a variable holds now means another one.
// Changed: answer
// Types: enum state
// Verdict: ack layout:enum state
// Before: open
// After: half
// Reverted: open
#include "pair.h"

enum state { SHUT,
#if V == 2
	     HALF,
#endif
	     OPEN };

static volatile enum state door;

void answer(void)
{
	static volatile int set;
	if (!set) {
		door = OPEN;
		set = 1;
	}
	switch (door) {
	case SHUT:
		puts("shut");
		break;
	case OPEN:
		puts("open");
		break;
	default:
		puts("half");
	}
}
