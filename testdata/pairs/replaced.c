// D11: a variable gets another name: the new one starts with its initial value, and the user is told that what the old one holds is lost.
// Changed: answer
// Objects: total amount
// Verdict: ack replaced:total
// Before: 1
// After: 1
// Reverted: 2
#include "pair.h"

#if V == 1
#define COUNTER total
#else
#define COUNTER amount
#endif

static int COUNTER;

void answer(void)
{
	printf("%d\n", ++COUNTER);
}
