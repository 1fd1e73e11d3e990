// D6: a list of texts without a name, with another neighbour in each build: where it ends at the latest says the one in which that is nearer.
// Changed: elsewhere
// Verdict: ok
// Before: 6 3
// After: 6 4
// Reverted: 6 3
#include "pair.h"

__asm__(".section .rodata.str1.1,\"aMS\",@progbits,1\n.Lone: .string \"one\"\n.Ltwo: .string \"two\"\n"
	".section .data.rel.ro.local,\"aw\"\n.balign 8\n"
#if V == 2
	".Lother: .quad .Ltwo\n"
#endif
	".Llist: .quad .Lone, .Ltwo, 0\n"
#if V == 1
	".Lother: .quad .Ltwo\n"
#endif
	".text\n");

NOINLINE static int total(const char *const *list)
{
	int n = 0;

	while (*list)
		n += strlen(*list++);
	return n;
}

NOINLINE static int help(void)
{
	const char *const *list;

	__asm__(ADDRESS("%0", ".Llist") : "=r"(list));
	return total(list);
}

NOINLINE static int length(void)
{
	const char *other;

	__asm__(VALUE("%0", ".Lother") : "=r"(other));
	return strlen(other);
}

NOINLINE int elsewhere(int n) { return n + V; }

void answer(void) { printf("%d %d\n", help(), elsewhere(length()) - 1); }
