// D17: the end of the last array of .bss is also where the linker says that the program ends (_end). In the old build another array
// lies between, so that taking the one for the other would make the new code's loop run through that one as well.
// The old body shows that it is the end of the array.
// Flags: -fno-toplevel-reorder
// Changed: answer
// Verdict: ok
// Before: 8
// After: 32
// Reverted: 24
#include "pair.h"

#if V == 2
static long other[8] __attribute__((used));
#endif
static long list[8];
#if V == 1
static long other[8] __attribute__((used));
#endif

void answer(void)
{
	long sum = 0, *end;

#ifdef __aarch64__
	__asm__(ADDRESS("%0", "list+64") : "=r"(end) : "m"(list));
#else
	__asm__("lea %c1+64(%%rip), %0" : "=r"(end) : "i"(list), "m"(list)); // as clang -Os writes it
#endif
	for (long *p = list; p != end; p++)
		sum += V * ++*p;
	printf("%ld\n", sum);
}
