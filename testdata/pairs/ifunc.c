// D13: a function of this program that a resolver chooses when it is loaded; its callers and one implementation change.
// Changed: fast answer
// Verdict: refused IFUNC
#include "pair.h"

NOINLINE static int fast(void) { return V; }
NOINLINE static int slow(void) { return 7; }
static int (*choose(void))(void) { return slow == 0 ? slow : fast; }
int pick(void) __attribute__((ifunc("choose")));

void answer(void) { printf(V == 1 ? "%d\n" : "%d!\n", pick()); }
