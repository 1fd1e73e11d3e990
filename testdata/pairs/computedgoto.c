// D25: a changed function takes the addresses of its labels.
// Changed: run
// Verdict: refused label
#include "pair.h"

NOINLINE int run(const unsigned char *op)
{
	static void *const label[] = { &&inc, &&dec, &&dbl, &&end };
	int x = V;
	goto *label[*op];
inc:
	x++;
	goto *label[*++op];
dec:
	x--;
	goto *label[*++op];
dbl:
	x *= 2;
	goto *label[*++op];
end:
	return x;
}

void answer(void) { printf("%d\n", run((const unsigned char *)"\0\0\2\3")); }
