// D7: a jump table of which nothing tells where it ends: its last entry leads into another function, and to another place of it in the new build.
// Changed: dispatch
// Verdict: refused jump table
#include "pair.h"

__asm__(".text\n"
	".type other,@function\nother: mov $10, %eax\n\tret\n\tmov $20, %eax\n\tret\n.size other, .-other\n"
	".type dispatch,@function\ndispatch:\n"
	"\tlea .Ltable(%rip), %rdx\n\tmovslq (%rdx,%rdi,4), %rax\n\tadd %rdx, %rax\n\tjmp *%rax\n"
	".Lzero: xor %eax, %eax\n\tret\n"
	".Lone: mov $1, %eax\n\tret\n"
	".size dispatch, .-dispatch\n"
	".section .rodata\n.balign 4\n"
	".Ltable: .long .Lzero - .Ltable, .Lone - .Ltable, other + 6 * (" 
#if V == 1
	"0"
#else
	"1"
#endif
	") - .Ltable\n"
	".text\n");
int dispatch(long n);

void answer(void) { printf("%d %d %d\n", dispatch(0), dispatch(1), dispatch(2)); }
