// D10: two members change places; the size of the struct stays. The running variable keeps its bytes, so the new code takes one for the other.
// Changed: answer
// Types: struct pos
// Verdict: ack layout:struct pos
// Before: x 1 y 2
// After: x 2 y 1
// Reverted: x 1 y 2
#include "pair.h"

struct pos {
#if V == 1
	int x, y;
#else
	int y, x;
#endif
};

static volatile struct pos here;

void answer(void)
{
	static volatile int set;
	if (!set) {
		here.x = 1;
		here.y = 2;
		set = 1;
	}
	printf("x %d y %d\n", here.x, here.y);
}
