// A variable that grows with each version: ring has 2, 4, 6 places. Every line of input is answered with the sum of what it holds and
// the first of it. Commands:
//   show    nothing more
//   add N   N takes the next place
//   set N   N takes the first place
// With -DFIXED no function can have a gate, so that each is changed by a write of its own: it begins with a call, or takes something in a register that
// a gate needs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noipa))
#define LEN (2 * V)

static long ring[LEN];
static volatile unsigned next;

#if defined FIXED && defined __aarch64__
#define FIRST asm volatile("mov x17, x16" ::: "x17")
#elif defined FIXED
NOINLINE static void nothing(void) {}
#define FIRST nothing()
#else
#define FIRST (void)0
#endif

NOINLINE void add(long n) { FIRST; ring[next++ % LEN] = n; }
NOINLINE void set(long n) { FIRST; *(volatile long *)ring = n; }
NOINLINE long first(void) { FIRST; return *(volatile long *)ring; }
NOINLINE long sum(void)
{
	FIRST;
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
