// D26: a function goes away; nothing but its callers knew it.
// Changed: answer
// Removed: twice
// Verdict: ok
// Before: 8
// After: 9
// Reverted: 8
#include "pair.h"

static volatile int four = 4;
#if V == 1
NOINLINE static int twice(int x) { return printf("%s", "") + x * 2; }
void answer(void) { printf("%d\n", twice(four)); }
#else
void answer(void) { printf("%d\n", four * 2 + 1); }
#endif
