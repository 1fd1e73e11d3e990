// A variable that grows with each version: ring has 2, 4, 6 places. Every line of input is answered with the sum of what it holds and
// the first of it. Commands:
//   show    nothing more
//   add N   N takes the next place
//   set N   N takes the first place
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noipa))
#define LEN (2 * V)

static long ring[LEN];
static volatile unsigned next;

NOINLINE void add(long n) { ring[next++ % LEN] = n; }
NOINLINE void set(long n) { *(volatile long *)ring = n; }
NOINLINE long first(void) { return *(volatile long *)ring; }
NOINLINE long sum(void)
{
	long t = 0;
	for (int i = 0; i < LEN; i++)
		t += ring[i];
	return t;
}

int main(void)
{
	char line[64];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strncmp(line, "add ", 4))
			add(atol(line + 4));
		if (!strncmp(line, "set ", 4))
			set(atol(line + 4));
		printf("%ld %ld\n", sum(), first());
	}
	return 0;
}
