// D6: a table without a name that begins with zeros.
// Changed: answer
// Verdict: ok
// Before: 0 0 0 0
// After: 0 65 66 67
// Reverted: 0 0 0 0
#include "pair.h"

struct table { int v[64]; };
NOINLINE static void show(struct table t) { printf("%d %d %d %d\n", t.v[0], t.v[1], t.v[2], t.v[3]); }

#if V == 1
#define TABLE { { 0, 0, 0, 0, 0, 0, 0, 0, 66 } }
#else
#define TABLE { { 0, 65, 66, 67, 0, 0, 0, 0, 66 } }
#endif

void answer(void) { show((struct table)TABLE); }
