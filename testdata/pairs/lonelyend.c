// D17: the end of an array and the object behind it, each passed to another function by one that names neither otherwise; a new object comes between.
// Changed: top thing
// Objects: between
// Verdict: refused it is the end of stack and the start of between
#include "pair.h"

__asm__(".bss\n.balign 32\n"
	".type stack,@object\n.size stack,4096\n.globl stack\n.hidden stack\nstack: .skip 4096\n"
#if V == 2
	".type between,@object\n.size between,64\n.globl between\n.hidden between\nbetween: .skip 64\n"
#endif
	".type next_thing,@object\n.size next_thing,16\n.globl next_thing\n.hidden next_thing\nnext_thing: .skip 16\n"
	".type following,@object\n.size following,16\nfollowing: .skip 16\n.text\n");
extern char stack[4096] __attribute__((visibility("hidden")));
extern int next_thing[4] __attribute__((visibility("hidden")));

NOINLINE void below(char *end, int n)
{
	if (n > 0)
		end[-1] = 1;
}
NOINLINE void within(int *thing, int n)
{
	if (n > 0)
		thing[0] = 2;
}
NOINLINE int sum(void) { return stack[4095] + next_thing[0]; }

NOINLINE int top(int n)
{
	below(stack + sizeof stack, n);
	return n + V;
}
NOINLINE int thing(int n)
{
	within(next_thing, n);
	return n - V;
}

void answer(void)
{
	int n = top(1) + thing(1);

	printf("%d %d\n", n, sum());
}
