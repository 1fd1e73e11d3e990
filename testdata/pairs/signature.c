// D16: a static function gets another argument; every caller differs too.
// Changed: scale answer
// Verdict: ok
// Before: 6
// After: 16
// Reverted: 6
#include "pair.h"

static int bias = 10;

#if V == 1
NOINLINE static int scale(int x) { return x * 3; }
void answer(void) { printf("%d\n", scale(2 + bias - 10)); }
#else
NOINLINE static int scale(int x, int add) { return x * 3 + add; }
void answer(void) { printf("%d\n", scale(2 + bias - 10, bias)); }
#endif
