// D2, D17: a line is put in above a function that passes on the end of an array, and it is another array's in the new build. What lies behind either is
// the same, and could be meant: the function counts as changed although only its line number is known to differ.
// Changed: check
// Objects: between
// Verdict: refused ambiguous
#include "pair.h"

__asm__(".data\n.balign 32\n"
	".globl pool\n.hidden pool\n.type pool,@object\n.size pool,64\npool: .fill 64\n"
#if V == 2
	".globl between\n.hidden between\n.type between,@object\n.size between,64\nbetween: .fill 64\n"
#endif
	".globl behind\n.hidden behind\n.type behind,@object\n.size behind,64\nbehind: .fill 64\n.text\n");
#pragma GCC visibility push(hidden)
extern char pool[64], between[64], behind[64];
#pragma GCC visibility pop
#if V == 1
#define END (pool + 64)
#else
#define END (between + 64)
#endif
char *kept;

NOINLINE void failed(const char *file, int line) { fprintf(stderr, "%s:%d\n", file, line); }
NOINLINE void keep(char *p) { kept = p; }
#if V == 2
#line 100 /* as if many lines had been put in */
#endif
NOINLINE int check(int x)
{
	if (x < 0)
		failed("lineexchanged.c", __LINE__);
	keep(END);
	return x + 1;
}

void answer(void) { printf("%d\n", check(1) + (kept == 0)); }
