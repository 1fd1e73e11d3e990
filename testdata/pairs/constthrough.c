// D8: constants that code reads only by way of other constants: a table of tables, two levels deep, and a list with NULs in it that a table leads to.
// Changed:
// Objects: reds lists
// Verdict: ok
// Before: rose ruby alpha beta
// After: rose rust alpha zeta
// Reverted: rose ruby alpha beta
#include "pair.h"

static const char *const reds[] = { "rose", V == 1 ? "ruby" : "rust" };
static const char *const blues[] = { "sky", "ink" };
static const char *const *const colours[] = { reds, blues };
static const char *const lists[] = { V == 1 ? "alpha\0beta\0" : "alpha\0zeta\0", "one\0two\0" };
static volatile unsigned zero;

NOINLINE static const char *colour(unsigned i, unsigned k) { return colours[i][k]; }
NOINLINE static const char *word(unsigned i, unsigned n)
{
	const char *s = lists[i];
	while (n--)
		s += strlen(s) + 1;
	return s;
}

void answer(void) { printf("%s %s %s %s\n", colour(zero, 0), colour(zero, 1), word(zero, 0), word(zero, 1)); }
