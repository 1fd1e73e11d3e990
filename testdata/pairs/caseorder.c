// The cases of a switch change places: the same constants, in another order.
// Flags: -O0
// Changed: code
// Verdict: ok
// Before: 3 17 99 123
// After: 17 3 123 99
// Reverted: 3 17 99 123
#include "pair.h"

NOINLINE static int code(int a)
{
	switch (a) {
	case 10: return V == 1 ? 3 : 17;
	case 200: return V == 1 ? 17 : 3;
	case 3000: return V == 1 ? 99 : 123;
	case 40000: return V == 1 ? 123 : 99;
	}
	return -1;
}

void answer(void) { printf("%d %d %d %d\n", code(10), code(200), code(3000), code(40000)); }
