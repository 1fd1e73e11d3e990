// D7: a switch over strings, of which clang makes a table of distances; one string changes, one comes from another place.
// Changed: name other
// Verdict: ok
// Before: two two-
// After: deux deux
// Reverted: two two-
#include "pair.h"

NOINLINE const char *name(int n)
{
	switch (n) {
	case 0: return "zero";
	case 1: return "one";
	case 2: return V == 1 ? "two" : "deux";
	case 3: return "three";
	case 4: return "four";
	case 5: return "five";
	}
	return "many";
}
NOINLINE const char *other(int n)
{
	switch (n) {
	case 0: return "zero-";
	case 1: return "one-";
	case 2: return V == 1 ? "two-" : "deux";
	case 3: return "three-";
	case 4: return "four-";
	case 5: return "five-";
	}
	return "many-";
}

static volatile int two = 2;
void answer(void) { printf("%s %s\n", name(two), other(two)); }
