// D18: an address in the constant data of a program that is not position independent leads elsewhere.
// Flags: -fno-pie -no-pie
// Objects: steps
// Verdict: refused not position independent
#include "pair.h"

NOINLINE static int zig(int x) { return x + 1; }
NOINLINE static int zag(int x) { return x * 6; }
static int (*const steps[])(int) = { zig, V == 1 ? zig : zag, zag };
static volatile int at = 1;

void answer(void) { printf("%d\n", steps[at](6)); }
