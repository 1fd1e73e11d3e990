// D4: the cold part of a function changes, the hot part only in where it jumps to.
// Changed: guarded
// Verdict: ok
// Before: low
// After: LOW
// Reverted: low
#include "pair.h"

__attribute__((cold, noinline)) void report(const char *s) { puts(s); }

NOINLINE int guarded(int x)
{
	if (__builtin_expect(x < 0, 0)) {
		report(V == 1 ? "low" : "LOW");
		return -1;
	}
	return x * 3;
}

static volatile int minus = -1;
void answer(void) { guarded(minus); }
