// D17: the address behind an array, in a function that does not name the array itself; a new object lies there in the new build. The caller
// passes the address of what lies behind both, which could be the end of one in the old build and of the other in the new.
// Changed: answer inside
// Objects: between
// Verdict: refused ambiguous
#include "pair.h"

__asm__(".data\n"
	".globl pool\n.hidden pool\n.type pool,@object\n.size pool,64\npool: .fill 64\n"
#if V == 2
	".globl between\n.hidden between\n.type between,@object\n.size between,32\nbetween: .fill 32\n"
#endif
	".globl behind\n.hidden behind\n.type behind,@object\n.size behind,64\nbehind: .fill 64\n.text\n");
#pragma GCC visibility push(hidden)
extern char pool[64], behind[64];
#if V == 2
extern char between[32];
#endif
#pragma GCC visibility pop

NOINLINE int inside(const char *p)
{
#if V == 1
	return p < pool + 64;
#else
	return p <= pool + 63 + (p == 0) && p < pool + 64;
#endif
}

void answer(void) { printf("%d %d\n", inside(pool + 60), inside(behind)); }
