// D17: a table of {name, begin, end}, one entry of which changes. The array that it names has 8 bytes, as a number has; where it ends, the new
// build has another object. The old table shows that the address is the end.
// Changed:
// Objects: ranges between
// Verdict: ok
// Before: one 3
// After: two 3
// Reverted: one 3
#include "pair.h"

__asm__(".data\n.balign 32\n"
	".globl pool\n.type pool,@object\n.size pool,8\npool: .long 1,2\n"
#if V == 1
	".zero 8\n"
#else
	".globl between\n.type between,@object\n.size between,8\nbetween: .long 4,8\n"
#endif
	".globl behind\n.type behind,@object\n.size behind,8\nbehind: .long 16,32\n.text\n");
extern int pool[2];

struct range { const char *name; int *begin, *end; };
extern const struct range ranges[];
const struct range ranges[] = { { V == 1 ? "one" : "two", pool, pool + 2 } };

NOINLINE static int total(const struct range *r)
{
	int t = 0;

	__asm__("" : "+r"(r));
	for (int *p = r->begin; p < r->end; p++)
		t += *p;
	return t;
}

void answer(void)
{
	const struct range *r = ranges;

	__asm__("" : "+r"(r));
	printf("%s %d\n", r->name, total(r));
}
