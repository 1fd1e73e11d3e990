// D6: a string and a floating-point constant without symbols.
// Changed: greet half
// Verdict: ok
// Before: hello world 2.5
// After: good day, world 7.5
// Reverted: hello world 2.5
#include "pair.h"

NOINLINE const char *greet(void) { return V == 1 ? "hello" : "good day,"; }
NOINLINE double half(double x) { return x * (V == 1 ? 0.5 : 1.5); }

void answer(void) { printf("%s world %.1f\n", greet(), half(5)); }
