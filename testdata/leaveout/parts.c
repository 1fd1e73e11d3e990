// Functions that changed and depend on each other, for patches that leave some of them out (--only, --skip).
#include "../pairs/pair.h"

static const char *const names[] = { "unused", V == 1 ? "old name" : "new name" };
static int slots[V == 1 ? 4 : 8];
static volatile unsigned used = 4;

// Called by total.
NOINLINE static int tax(int x) { return V == 1 ? x * 2 : x * 3; }

NOINLINE static int total(int x) { return tax(x) + V * 100; }

// Nothing of the patch calls it, but for what only the new build has.
#if V == 1
NOINLINE static int alone(int x) { return x + 1; }
#else
NOINLINE static int helper(int x) { return x ^ 0x55; }
NOINLINE static int alone(int x) { return helper(x) + 2; }
#endif

// Other arguments.
#if V == 1
NOINLINE static int scale(int x) { return x * 4; }
NOINLINE static int scaled(int x) { return scale(x) + 1; }
#else
NOINLINE static int scale(int x, int by) { return x * by; }
NOINLINE static int scaled(int x) { return scale(x, 5) + 2; }
#endif

// The array moves.
NOINLINE static int sum(void)
{
	int t = V > 1 ? 2 : 1;
	for (unsigned i = 0; i < used && i < sizeof slots / sizeof *slots; i++)
		t += slots[i]++;
	return t;
}

#ifdef COUNT
// Another one that refers to the array, and does not differ itself.
NOINLINE static int first(void) { return slots[0]; }
#else
#define first() 0
#endif

// Reads a constant that is renewed where it is.
NOINLINE static const char *name(int i) { return names[i] + (V > 1); }

// As it was, whatever is left out.
void answer(void)
{
	printf("%d %d %d %d %d %s\n", tax((int)used), total((int)used), alone((int)used), scaled((int)used), sum() + (first() < 0), name((int)used - 3));
}
