// D8: a named constant of unchanged size gets new content, strings and function pointers included; the code is the same.
// Changed:
// Objects: words steps
// Verdict: ok
// Before: red 2
// After: green 4
// Reverted: red 2
#include "pair.h"

NOINLINE static int add(int x) { return x + 1; }
NOINLINE static int mul(int x) { return x * 4; }
static int (*const steps[])(int) = { V == 1 ? add : mul, V == 1 ? mul : add };
static const char *const words[] = { V == 1 ? "red" : "green", "blue" };
static volatile int zero;

NOINLINE static int run(int x) { return steps[zero](x); }
void answer(void) { printf("%s %d\n", words[zero], run(1)); }
