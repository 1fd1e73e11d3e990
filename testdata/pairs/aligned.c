// D10: a variable of the same size is aligned to more bytes, and the new code relies on it (movaps): where it is, that would fault. arm64's accesses need no alignment.
// Changed: answer
// Verdict: refused at an address that is a multiple of 16
// arm64-Verdict: ok
#include "pair.h"

typedef float quad __attribute__((vector_size(16)));
typedef float loose __attribute__((vector_size(16), aligned(4)));

#if V == 1
static loose value __attribute__((used, aligned(4))) = { 1, 2, 3, 4 };
#else
static quad value __attribute__((used)) = { 1, 2, 3, 4 };
#endif
static int in_front __attribute__((used)) = 7;
static volatile float none;

void answer(void)
{
#if V == 1
	value = value - (loose){ none, none, none, none };
#else
	value = value + (quad){ none, none, none, none };
#endif
	printf("%g\n", value[0] + value[1] + value[2] + value[3]);
}
