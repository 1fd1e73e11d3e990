// D6: a constant without a name seems to end in the middle of an address that it holds, since other code names that place.
// Changed: first
// Verdict: refused only a part belongs to it
#include "pair.h"

asm(".pushsection .data.rel.ro, \"aw\"\n"
    ".balign 8\n"
    ".Lblob: .quad answer, answer, answer\n"
    ".popsection");

NOINLINE int first(void)
{
	void *const *start;

	asm(ADDRESS("%0", ".Lblob") : "=r"(start));
	return (start[0] == start[1]) * V;
}

NOINLINE int middle(void)
{
	const char *half;

	asm(ADDRESS("%0", ".Lblob+12") : "=r"(half));
	return *half;
}

void answer(void) { printf("%d %d\n", first(), middle()); }
