// D5: a function that was inlined into two others changes.
// Changed: left right
// Verdict: ok
// Before: 11 12
// After: 21 22
// Reverted: 11 12
#include "pair.h"

static inline int base(int x) { return x + (V == 1 ? 10 : 20); }
NOINLINE int left(int x) { return base(x); }
NOINLINE int right(int x) { return base(x) + 1; }

void answer(void) { printf("%d %d\n", left(1), right(1)); }
