// One instruction of arm64 loads two objects that lie side by side; in the new build another one is the second. What the running process has
// side by side stays as it is.
// Changed: sum
// Verdict: ok
// arm64-Verdict: refused it accesses first, other with one instruction
#include "pair.h"

#define OBJECT(name, value) ".globl " name "\n.type " name ",@object\n.size " name ",8\n" name ": .quad " value "\n"
#if V == 1
#define SECOND "second"
__asm__(".data\n.balign 16\n" OBJECT("first", "1") OBJECT("second", "2") OBJECT("other", "3") ".text\n");
#else
#define SECOND "other"
__asm__(".data\n.balign 16\n" OBJECT("first", "1") OBJECT("other", "3") OBJECT("second", "2") ".text\n");
#endif

NOINLINE long sum(void)
{
	long a, b;

#ifdef __aarch64__
	__asm__(ADDRESS("%0", "first") "ldp %0, %1, [%0]" : "=&r"(a), "=&r"(b));
#else
	__asm__("mov first(%%rip), %0\n\tmov " SECOND "(%%rip), %1" : "=&r"(a), "=&r"(b));
#endif
	return a + b;
}

void answer(void) { printf("%ld\n", sum()); }
