// D21: what a function catches changes; its instructions are the same.
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
NOINLINE void guard(int n)
{
	try {
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
