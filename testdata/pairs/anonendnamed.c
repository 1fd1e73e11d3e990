// D17: a table without a name that ends where a named object starts; a changed function walks from one address to the other.
// Changed: sum
// Verdict: refused used as an end
#include "pair.h"

__asm__(".section .rodata\n"
	".balign 16\n"
	".Ltable: .long 1,2,3,4,5,6,7,8\n"
	".globl behind\n.type behind,@object\n.size behind,16\n"
	"behind: .long 1000,2000,3000,4000\n"
	".text\n");
extern const int behind[4] __attribute__((visibility("hidden")));

NOINLINE int sum(void)
{
	const int *p, *end = behind;
	int t = 0, k = V;

	__asm__(ADDRESS("%0", ".Ltable") : "=r"(p));
	__asm__("" : "+r"(end));
	while (p != end)
		t += *p++ * k;
	return t;
}

void answer(void) { printf("%d %d\n", sum(), behind[0]); }
