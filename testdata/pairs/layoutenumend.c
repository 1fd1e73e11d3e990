// D10: a new enumerator behind the others: no other number changes.
// Changed: answer
// Types: enum state
// Verdict: ok
// Before: 1
// After: 1 of 3
// Reverted: 1
#include "pair.h"

enum state { SHUT, OPEN,
#if V == 2
	     LOCKED,
#endif
};

static volatile enum state door = OPEN;

void answer(void)
{
#if V == 1
	printf("%d\n", door);
#else
	printf("%d of %d\n", door, door == LOCKED ? 0 : LOCKED + 1);
#endif
}
