// D11: a linker-collected table gets an entry: the running one cannot grow.
// Objects: hook_two
// Added: two
// Verdict: refused __start_
#include "pair.h"

typedef int hook(void);
#define HOOK(name) static hook *const hook_##name __attribute__((section("hooks"), used)) = name
extern hook *const __start_hooks[], *const __stop_hooks[];

static int one(void) { return 1; }
HOOK(one);
#if V == 2
static int two(void) { return 2; }
HOOK(two);
#endif

void answer(void)
{
	int n = 0;
	for (hook *const *h = __start_hooks; h < __stop_hooks; h++)
		n += (*h)();
	printf("%d\n", n);
}
