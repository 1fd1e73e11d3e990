// D25: a function keeps its labels (threaded code). Those that it has kept lead into the old body, so that code translated before the
// patch goes on as it was: the user is told. What is translated afterwards is new.
// Changed: run
// Verdict: ack labels:run
// Before: 3 3
// After: 3 21
// Reverted: 3 3
#include "pair.h"

static void *kept[4];

NOINLINE int run(void **code, const unsigned char *op)
{
	static void *const label[] = { &&inc, &&dbl, &&end };
	int x = 0;
	if (!code[0])
		for (int i = 0; i < 4; i++)
			code[i] = label[op[i]];
	goto **code++;
inc:
	x += V == 1 ? 1 : 10;
	goto **code++;
dbl:
	x = x * 2 + 1;
	goto **code++;
end:
	return x;
}

void answer(void)
{
	static const unsigned char program[] = { 0, 1, 2, 2 };
	void *fresh[4] = { NULL };
	int x = run(kept, program);
	printf("%d %d\n", x, run(fresh, program));
}
