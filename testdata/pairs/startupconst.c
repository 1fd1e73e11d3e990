// D8: a constant that is read once, before the program's loop. Renewing it changes nothing that was made of it: the user is told.
// Objects: defaults
// Verdict: ack startup:defaults
// Before: slow
// After: slow
// Reverted: slow
#include <stdlib.h>
#define main pair_main
#include "pair.h"
#undef main

static const char *const defaults[] = { V == 1 ? "slow" : "fast", "off" };
static const char *speed;
static volatile unsigned zero;

NOINLINE static void configure(void) { speed = strdup(defaults[zero]); }

// Uses the stack, so that no return address into configure() is left on it.
NOINLINE static void work(void)
{
	volatile char room[8192];
	for (unsigned i = 0; i < sizeof room; i++)
		room[i] = 0;
}

int main(void)
{
	configure();
	work();
	return pair_main();
}

void answer(void) { puts(speed); }
