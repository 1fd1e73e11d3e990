// D18: an address in the constant data of a program that is not position independent leads elsewhere. What it leads to has not moved, so that the
// word holds the same whether it is an address or a number.
// Flags: -fno-pie -no-pie
// Objects: steps
// Verdict: ok
// Before: 7
// After: 36
// Reverted: 7
#include "pair.h"

NOINLINE static int zig(int x) { return x + 1; }
NOINLINE static int zag(int x) { return x * 6; }
static int (*const steps[])(int) = { zig, V == 1 ? zig : zag, zag };
static volatile int at = 1;

void answer(void) { printf("%d\n", steps[at](6)); }
