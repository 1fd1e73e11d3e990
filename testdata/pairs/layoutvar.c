// D10: variables get other types of the same size. Their bytes stay, and mean something else; text behind a pointer does not (where char is signed).
// Changed: answer
// Types: limit name ratio
// Verdict: ack layout:limit layout:ratio
// arm64-Verdict: ack layout:limit layout:name layout:ratio
// Before: -1 1065353216 x
// After: 4294967295 1 x
// Reverted: -1 1065353216 x
#include "pair.h"

#if V == 1
static volatile int limit, ratio;
#define FORMAT "%d %d %s\n"
static char *volatile name;
#else
static volatile unsigned limit;
static volatile float ratio;
#define FORMAT "%u %g %s\n"
static signed char *volatile name;
#endif

static volatile int set;

void answer(void)
{
	if (!set) {
		set = 1;
		*(volatile int *)&limit = -1;
		*(volatile int *)&ratio = 0x3f800000;
		name = (void *)"x";
	}
	printf(FORMAT, limit, ratio, (char *)name);
}
