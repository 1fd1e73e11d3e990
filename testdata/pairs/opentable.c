// D7: a jump table of which nothing tells where it ends: its last entry leads into another function, and to another place of it in the new build.
// Changed: dispatch
// Verdict: refused jump table
#include "pair.h"

__asm__(".text\n"
#ifdef __aarch64__
	".type other,@function\nother: mov w0, #10\n\tret\n\tmov w0, #20\n\tret\n.size other, .-other\n"
	".type dispatch,@function\ndispatch:\n\t" ADDRESS("x1", ".Ltable")
	"\tldrsw x2, [x1, x0, lsl #2]\n\tadd x1, x1, x2\n\tbr x1\n"
	".Lzero: mov w0, #0\n\tret\n"
	".Lone: mov w0, #1\n\tret\n"
#else
	".type other,@function\nother: mov $10, %eax\n\tret\n\tmov $20, %eax\n\tret\n.size other, .-other\n"
	".type dispatch,@function\ndispatch:\n"
	"\tlea .Ltable(%rip), %rdx\n\tmovslq (%rdx,%rdi,4), %rax\n\tadd %rdx, %rax\n\tjmp *%rax\n"
	".Lzero: xor %eax, %eax\n\tret\n"
	".Lone: mov $1, %eax\n\tret\n"
#endif
	".size dispatch, .-dispatch\n"
	".section .rodata\n.balign 4\n"
	".Ltable: .long .Lzero - .Ltable, .Lone - .Ltable, other + "
#if V == 1
	"0"
#elif defined __aarch64__
	"8"
#else
	"6"
#endif
	" - .Ltable\n"
	".text\n");
int dispatch(long n);

void answer(void) { printf("%d %d %d\n", dispatch(0), dispatch(1), dispatch(2)); }
