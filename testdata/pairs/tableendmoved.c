// D17: a table of {name, end}, one entry of which changes. Where the array of 8 bytes ends, one object begins in the old build and another in
// the new, which the word could be meant for in either: nothing shows that it was not edited.
// Changed:
// Objects: ranges between
// Verdict: refused ambiguous
#include "pair.h"

__asm__(".data\n.balign 32\n"
	".globl pool\n.type pool,@object\n.size pool,8\npool: .long 1,2\n"
#if V == 2
	".globl between\n.type between,@object\n.size between,8\nbetween: .long 4,8\n"
#endif
	".globl behind\n.type behind,@object\n.size behind,8\nbehind: .long 16,32\n.text\n");
extern int pool[2];

struct range { const char *name; int *end; };
extern const struct range ranges[];
const struct range ranges[] = { { V == 1 ? "one" : "two", pool + 2 } };

NOINLINE static int last(const struct range *r)
{
	__asm__("" : "+r"(r));
	return r->end[-1];
}

void answer(void)
{
	const struct range *r = ranges;

	__asm__("" : "+r"(r));
	printf("%s %d\n", r->name, last(r));
}
