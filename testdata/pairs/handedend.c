// D17: the end of an array and the object behind it, each handed to a function that accesses memory there, as the callers do not; a new object, which
// gets another place, comes between.
// Changed: top thing answer
// Objects: between
// Verdict: ok
// Before: 3 5 0 3
// After: 5 3 2 9
// Reverted: 3 5 0 3
#include "pair.h"

__asm__(".data\n.balign 32\n"
	".type stack,@object\n.size stack,64\n.globl stack\n.hidden stack\nstack: .fill 64,1,3\n"
#if V == 2
	".type between,@object\n.size between,64\n.globl between\n.hidden between\nbetween: .fill 64,1,2\n"
#endif
	".type next_thing,@object\n.size next_thing,16\n.globl next_thing\n.hidden next_thing\nnext_thing: .long 5,5,5,5\n"
	".type following,@object\n.size following,16\nfollowing: .skip 16\n.text\n");
extern char stack[64] __attribute__((visibility("hidden")));
extern char between[64] __attribute__((visibility("hidden")));
extern int next_thing[4] __attribute__((visibility("hidden")));

NOINLINE int below(const char *end) { return end[-1]; }
NOINLINE int within(const int *thing) { return thing[0]; }

NOINLINE int top(int n) { return below(stack + sizeof stack) + n * V; }
NOINLINE int thing(int n) { return within(next_thing) + n * V; }

void answer(void)
{
#if V == 1
	printf("%d %d %d %d\n", top(0), thing(0), 0, stack[63]);
#else
	printf("%d %d %d %d\n", top(1), thing(-1), between[1], stack[63] * 3);
#endif
}
