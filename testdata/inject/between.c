// A program in three versions (-DV=1..3): the first patch changes alpha, the second beta. Whether the first can be taken out from under the second
// depends on what else they do:
//   -DCALLS     the new beta calls alpha
//   -DTHROUGH   the new beta calls middle, which does not change and calls alpha
//   -DVARIABLE  the new beta reads a variable that came with the new alpha
//   -DINLINED   the new beta has code inlined that the new alpha has as well, and that the first patch changed
//   -DBACK      the old alpha calls beta
//   -DBOTH      the second patch changes alpha, too
//   -DCONSTANT  the first patch renews a constant
//   -DLAYOUT    the second patch moves a member of a structure that lives on
// "go" prints what they give; "load" starts threads that call them all the time.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile long zero;

struct state {
#if defined LAYOUT && V == 3
	long more, value;
#else
	long value, more;
#endif
};
struct state *state;

static inline long half(long n)
{
#if defined INLINED && V >= 2
	return n / 2 + 1 + zero;
#else
	return n / 2 + zero;
#endif
}

#ifdef CONSTANT
const long limits[4] = { 1, 2, V >= 2 ? 30 : 3, 4 };
#endif

#if V >= 2
static volatile long added = 7;
#endif

NOINLINE long beta(long n);

NOINLINE long alpha(long n)
{
#if V == 1
#ifdef BACK
	return beta(n) + 1000;
#elif defined INLINED
	return half(n) + 10;
#else
	return n + 10 + zero;
#endif
#elif V == 3 && defined BOTH
	return n + 30 + added;
#elif defined INLINED
	return half(n) + 20 + added;
#else
	return n + 20 + added;
#endif
}

NOINLINE long middle(long n) { return alpha(n) * 3 + zero; }

NOINLINE long beta(long n)
{
#if V < 3
	return n + 100 + zero;
#elif defined CALLS
	return alpha(n) + 200;
#elif defined THROUGH
	return middle(n) + 200;
#elif defined VARIABLE
	return n + 200 + added;
#elif defined INLINED
	return half(n) + 200;
#elif defined LAYOUT
	return n + 200 + state->value;
#else
	return n + 200 + zero;
#endif
}

NOINLINE long gamma_(long n)
{
#ifdef CONSTANT
	return limits[n & 3];
#else
	return n + zero;
#endif
}

static long (*volatile table[])(long) = { alpha, beta, middle, gamma_ };

// Uses the stack, so that no return address is left on it.
static __attribute__((noipa)) void work(void)
{
	volatile char room[512];
	for (unsigned i = 0; i < sizeof room; i++)
		room[i] = (char)i;
}

static void *load(void *arg)
{
	const struct timespec nap = { 0, 50000 };
	for (long n = 0;; n++) {
		for (int i = 0; i < 4; i++)
			zero = table[i](n) * 0;
		work();
		if (n % 16 == 0)
			nanosleep(&nap, NULL);
	}
	return arg;
}

static long ask(int i) { return table[i](2); }

int main(void)
{
	char line[64];
	pthread_t t;
	state = calloc(2, sizeof *state);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "load\n"))
			for (int i = 0; i < 2; i++)
				pthread_create(&t, NULL, load, NULL);
		printf("%ld %ld %ld %ld\n", ask(0), ask(1), ask(2), ask(3));
	}
	return 0;
}
