// D10, D17: a function that does not differ may read an array that grew by a base in front of it, which lies in another array, and by nothing else:
// it would go on using the old place.
// On arm64 its reader makes the end by an addition to the start, which is how a section anchor leads to the next object, too: ambiguous.
// Flags: -fno-toplevel-reorder
// Changed: total
// Objects: letters
// Verdict: ack grown:letters
// arm64-Verdict: refused it is the end of letters
#include "pair.h"

static int front[64] = {7, 7, 7, 7, 7, 7};
static int letters[V * 8] = {1, 2, 3, 4, 5, 6, 7, 8};

NOINLINE static int letter(long c)
{
	const int *base;
	int n;

	// As gcc -O2 writes letters[c - 48].
#ifdef __aarch64__
	__asm__(ADDRESS("%0", "letters-192") "ldr %w1, [%0, %2, lsl #2]" : "=&r"(base), "=r"(n) : "r"(c));
#else
	__asm__("lea %c3-192(%%rip), %0\n\tmov (%0,%2,4), %1" : "=&r"(base), "=r"(n) : "r"(c), "i"(letters));
#endif
	return n;
}

NOINLINE static int total(void)
{
	int t = 0;

	for (int i = 0; i < V * 8; i++)
		t += ++letters[i];
	return t;
}

void answer(void) { printf("%d %d %d\n", total(), letter(50), front[5]++); }
