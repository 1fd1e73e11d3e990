// D1: the same source, linked with its functions and objects in another order, differs in nothing.
// Flags: -ffunction-sections -fdata-sections
// Flags2: -Wl,--sort-section=name
// Verdict: nothing
// Before: 3 lines
#include "pair.h"

static const char *const unit[] = { "line", "lines" };
static int count;

NOINLINE int next(void) { return ++count; }
NOINLINE const char *word(int n) { return unit[n != 1]; }
NOINLINE static void show(int n) { printf("%d %s\n", n, word(n)); }

void answer(void)
{
	next();
	next();
	show(next());
}
