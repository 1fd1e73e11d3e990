// D9: the initial value of a live variable changes: reported, and the running value stays.
// Changed: answer
// Objects: level
// Verdict: ok
// Before: level 4
// After: LEVEL 5
// Reverted: level 6
#include "pair.h"

static int level = V == 1 ? 3 : 30;

void answer(void) { printf(V == 1 ? "level %d\n" : "LEVEL %d\n", ++level); }
