// D6: a changed function walks through a string with NULs in it, and also names its middle.
// Changed: answer
// Verdict: ok
// Before: one.two.three. two
// After: one.two.three! two
// Reverted: one.two.three. two
#include "pair.h"

NOINLINE static void show(const char *s, const char *end)
{
	for (; *s; s += strlen(s) + 1)
		printf("%s%s", s, s[strlen(s) + 1] ? "." : end);
}
NOINLINE static void word(const char *s) { printf(" %s\n", s); }

void answer(void)
{
	const char *list = "one\0two\0three\0";

	show(list, V == 1 ? "." : "!");
	word(list + 4);
}
