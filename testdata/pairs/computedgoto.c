// D25: a changed function jumps through a table of its labels. The patch has a table of its own, which leads into the new body.
// Changed: run answer
// Objects: label.0
// Verdict: ok
// Before: 2
// After: 8
// Reverted: 2
#include "pair.h"

NOINLINE int run(const unsigned char *op)
{
	static void *const label[] = { &&inc, &&dec, &&dbl, &&end };
	int x = V;
	goto *label[*op];
inc:
	x++;
#if V == 2
	x += atoi("7");
#endif
	goto *label[*++op];
dec:
	x--;
	goto *label[*++op];
dbl:
	x *= 2;
	goto *label[*++op];
end:
	return x + (V == 2);
}

void answer(void) { printf("%d\n", run((const unsigned char *)"\0\0\1\2\1\1\3") + (V == 2 ? -25 : 0)); }
