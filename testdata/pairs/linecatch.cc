// D2, D21: what a function catches changes together with a line number: that is more than line numbers.
// Changed: _Z5guardi
// Objects: DW.ref._ZTI1A DW.ref._ZTI1B
// Verdict: refused exception
#include "pair.h"

struct A { int x; };
struct B { int x; };
#if V == 1
typedef A Caught;
#else
typedef B Caught;
#endif

NOINLINE static void raise(int n)
{
	if (n == 1)
		throw A{1};
	if (n == 2)
		throw B{2};
}
NOINLINE void failed(int line) { fprintf(stderr, "%d\n", line); }
#if V == 2
#line 100 /* as if many lines had been put in */
#endif
NOINLINE void guard(int n)
{
	try {
		if (n < 0)
			failed(__LINE__);
		raise(n);
	} catch (const Caught &) {
		puts("caught");
	}
}

void answer(void)
{
	try {
		guard(1);
	} catch (...) {
		puts("passed");
	}
}
