// A program in three versions (-DV=1..3) whose function has a part in .text.unlikely: in all of them, or with -DLATE not in the first.
// "go" prints what it gives.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile long zero;

#define NOINLINE __attribute__((noipa))

NOINLINE long checked(long n)
{
#if V > 1 || !defined LATE
	if (n + zero != n)
		abort();
#endif
	return n * 10 + V + zero;
}

// Unchanged, with such a part of its own that moves.
NOINLINE long steady(long n)
{
	if (zero)
		abort();
	return n + 1;
}

NOINLINE long last(long n)
{
#if V == 3
	if (n + 2 * zero != n)
		abort();
#endif
	return steady(n) + (V == 3);
}

int main(void)
{
	char line[64];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		printf("%ld %ld %ld\n", checked(1), steady(1), last(1));
	return 0;
}
