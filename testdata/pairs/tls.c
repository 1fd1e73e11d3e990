// D12: a changed function uses a thread-local variable that both builds have at the same place.
// Changed: answer
// Verdict: ok
// Before: 6
// After: +7
// Reverted: 8
#include "pair.h"

static __thread int calls = 5;

void answer(void) { printf(V == 1 ? "%d\n" : "+%d\n", ++calls); }
