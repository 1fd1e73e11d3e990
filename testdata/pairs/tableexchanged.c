// D17: a table of {name, end}. The array whose end it names was another one in the old build; the same object lies behind either, so that the word is
// the address of that in both builds. Nothing else differs.
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
extern int pool[2], between[2];

struct range { const char *name; int *end; };
extern const struct range ranges[];
const struct range ranges[] = { { "last", V == 1 ? pool + 2 : between + 2 } };

void answer(void)
{
	const struct range *r = ranges;

	__asm__("" : "+r"(r));
	printf("%s %d\n", r->name, r->end[-1]);
}
