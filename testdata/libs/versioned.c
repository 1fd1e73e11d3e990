// D13: a symbol with two versions; each name keeps its own function.
// Flags: -Wl,--version-script=VERSIONS
// Changed: old_value new_value
// Verdict: ok
// Before: 10 20
// After: 110 120
// Reverted: 10 20
#include "lib.h"

EXPORT int old_value(void) { return V == 1 ? 10 : 110; }
EXPORT int new_value(void) { return V == 1 ? 20 : 120; }
__asm__(".symver old_value, value@LIB_1\n.symver new_value, value@@LIB_2");
EXPORT int value(void);

EXPORT void answer(void) { printf("%d %d\n", old_value(), new_value()); }
