// D6: a table leads to a text of three characters: a number follows in the old build, another text in the new one.
// Changed: behind
// Verdict: ok
// Before: 65 KEY
// After: 116 KEY
// Reverted: 65 KEY
#include "pair.h"

__asm__(".section .rodata\n.balign 8\n.Lkey: .asciz \"KEY\"\n.balign 8\n"
#if V == 1
	".Lbehind: .quad 0x141\n"
#else
	".Lbehind: .asciz \"text\"\n.balign 8\n"
#endif
	".globl stop\n.type stop,@object\n.size stop,8\nstop: .quad 1\n"
	".section .data.rel.ro,\"aw\"\n.balign 8\n"
	".globl names\n.type names,@object\n.size names,8\nnames: .quad .Lkey\n.text\n");
extern const char *const names[1];

NOINLINE int behind(void)
{
#if V == 1
	long number;

	__asm__(VALUE("%0", ".Lbehind") : "=r"(number));
	return (char)number;
#else
	const char *text;

	__asm__(ADDRESS("%0", ".Lbehind") : "=r"(text));
	return *text;
#endif
}

void answer(void) { printf("%d %s\n", behind(), names[0]); }
