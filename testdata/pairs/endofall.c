// D17: the end of the last object of the program, which the linker gives a name of its own (_end); the object is not the last one in the old build.
// Changed: last
// Verdict: refused it is the end of stack and _end
#include "pair.h"

__asm__(".section .bss.zzz,\"aw\",@nobits\n.balign 64\n"
#if V == 1
	".globl stack\n.type stack,@object\n.size stack,64\nstack: .skip 64\n"
#endif
	".globl other\n.type other,@object\n.size other,64\nother: .skip 64\n"
#if V == 2
	".globl stack\n.type stack,@object\n.size stack,64\nstack: .skip 64\n"
#endif
	".text\n");
extern unsigned char stack[64], other[64];

int seen;
NOINLINE void below(const unsigned char *end, int n) { seen = n > 0 ? end[-1] : n; }
NOINLINE int last(void)
{
	const unsigned char *end;

	__asm__(ADDRESS("%0", "stack+64") : "=r"(end));
	below(end, 1);
	return V;
}

void answer(void)
{
	stack[63] = 7;
	other[63] = 99;
	printf("%d %d\n", last(), seen);
}
