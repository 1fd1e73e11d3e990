// D6: the first values of a local array, which are addresses: GCC for arm64 puts them into .data, without a name, where the program could write. The new code
// uses those of the process.
// Changed: named
// Verdict: ok
// Before: one three 1
// After: two three 2
// Reverted: one three 3
#include "pair.h"

static int asked;

NOINLINE static const char *named(int n)
{
	const char *names[] = {"zero", "one", "two", "three"};

	__asm__ volatile("" : : "r"(names) : "memory");
	asked++;
	return names[n + V - 1];
}

NOINLINE static const char *other(int n)
{
	const char *names[] = {"four", "three", "two", "one"};

	__asm__ volatile("" : : "r"(names) : "memory");
	return names[n];
}

void answer(void)
{
	const char *one = named(1), *three = other(1);

	printf("%s %s %d\n", one, three, asked);
}
