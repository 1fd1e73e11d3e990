// D13: the new build calls functions that the old one does not import and that libc implements several times over
// (IFUNC). The implementation is the one that libc itself was bound to.
// Changed: measure
// Verdict: ok
// Before: 0
// After: 5 2 1
// Reverted: 0
#include "pair.h"

static const char *volatile text = "abcde";

NOINLINE static void measure(void)
{
#if V == 1
	printf("0\n");
#else
	const char *s = text;
	printf("%zu %d %d\n", strlen(s), (int)((const char *)memchr(s, 'c', 5) - s), strcmp(s, "abc") > 0);
#endif
}

void answer(void) { measure(); }
