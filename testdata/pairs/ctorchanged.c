// D11: a constructor changes: it ran when the program was started. A destructor is new.
// Changed: setup
// Added: cleanup
// Verdict: ack ran:setup destructor:cleanup
// Before: 3
// After: 3
// Reverted: 3
#include "pair.h"

static volatile int level;

__attribute__((constructor)) static void setup(void) { level = V == 1 ? 3 : 30; }
#if V == 2
__attribute__((destructor)) static void cleanup(void) { level = 0; }
#endif

void answer(void) { printf("%d\n", level); }
