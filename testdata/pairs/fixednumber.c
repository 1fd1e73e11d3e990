// D18: a number in a program that is not position independent that looks like the address of the start of .rodata, which has not moved.
// Flags: -fno-pie -no-pie
// Changed: answer
// Verdict: ok
// Before: 1 402000
// After: 2 402000
// Reverted: 1 402000
#include "pair.h"

static volatile int sum;

void answer(void)
{
	sum = 0x402000;
	printf("%d %x\n", V, sum);
}
