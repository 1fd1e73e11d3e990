// D17: the end of an array and the object behind it, passed by functions that name neither otherwise; both readings are at one place in either build.
// Changed: top thing
// Verdict: ok
// Before: 2 0 3
// After: 3 -1 3
// Reverted: 2 0 3
#include "pair.h"

__asm__(".bss\n.balign 32\n"
	".type stack,@object\n.size stack,4096\nstack: .skip 4096\n"
	".type next_thing,@object\n.size next_thing,16\nnext_thing: .skip 16\n.text\n");
extern char stack[4096] __attribute__((visibility("hidden")));
extern int next_thing[4] __attribute__((visibility("hidden")));

NOINLINE void below(char *end) { end[-1] = 1; }
NOINLINE void within(int *thing) { thing[0] = 2; }
NOINLINE int sum(void) { return stack[4095] + next_thing[0]; }

NOINLINE int top(int n)
{
	below(stack + sizeof stack);
	return n + V;
}
NOINLINE int thing(int n)
{
	within(next_thing);
	return n - V;
}

void answer(void)
{
	int up = top(1), down = thing(1);

	printf("%d %d %d\n", up, down, sum());
}
