// D6: a string with NULs in it, of which only the part behind the first NUL changes.
// Changed: answer
// Verdict: ok
// Before: one.
// After: one.two.three.
// Reverted: one.
#include "pair.h"

#if V == 1
#define LIST "one\0"
#else
#define LIST "one\0two\0three\0"
#endif

NOINLINE static void show(const char *s)
{
	for (; *s; s += strlen(s) + 1)
		printf("%s.", s);
	printf("\n");
}

void answer(void) { show(LIST); }
