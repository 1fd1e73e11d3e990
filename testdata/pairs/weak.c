// D13: a weak function that nothing defines, a variable of the C library that is copied into the program, and an import by address.
// Changed: answer
// Verdict: ok
// Before: none 0
// After: none 1 same
// Reverted: none 0
#include "pair.h"

extern int hotpatch_nobody(void) __attribute__((weak));
static void *volatile zero;

void answer(void)
{
	int n = hotpatch_nobody ? hotpatch_nobody() : 0;

#if V == 1
	fprintf(stdout, "none %d\n", n + (zero != NULL) + (stderr == NULL) + (free == zero));
#else
	void (*f)(void *) = free;
	fprintf(stdout, "none %d %s\n", n + 1 + (stderr == NULL) + (zero != NULL), f == free && f ? "same" : "different");
#endif
}
