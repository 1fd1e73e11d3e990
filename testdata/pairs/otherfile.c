// D3: a static variable goes away in one file, and another file gets one of the same name.
// Sources: pairs/otherfile_b.c
// Changed: answer b
// Objects: level level
// Verdict: refused told
#include "pair.h"

int b(void);
#if V == 1
static int level = 7;
void answer(void)
{
	int n = ++level;
	printf("%d %d\n", n, b());
}
#else
void answer(void) { printf("%d\n", b()); }
#endif
