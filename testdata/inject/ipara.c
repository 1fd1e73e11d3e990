// Loops that never end, in versions -DV=1 to 5, for functions that may stay active. Which one is the argument:
//   keeps     loop() keeps its counter in a register that add() does not change (gcc -fipa-ra)
//   server    serve() calls handle() for each line of input
// Of version 1 to: 2, add() changes no further register; 3, it does; 4, serve() itself, handle() too; 5, as 4 and again.
// With -DHEAD loop() branches to its first instruction. "keeps" answers each line with how many rounds of loop() gave a wrong counter, and with
// the total, which grows in version 1 and becomes less in version 2; "server" with what handle() gives.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

void *started;
long total, rounds, divisor = 3, wrong, extra;

NOINLINE static void add(long n)
{
#if V == 1
	total += n;
#elif V == 2
	total -= n;
#elif V == 3
	total += n / divisor;
	extra++;
#else
	total += n;
#endif
}

// Between two calls of add() everything that it does not change may be in any register.
NOINLINE static void *loop(void *arg)
{
#ifndef HEAD
	started = arg;
#endif
	for (;;) {
		long count = 0;
		for (int i = 0; i < 1000; i++) {
			add(i);
			count++;
		}
		if (count != 1000)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
#if V == 1
		__atomic_fetch_add(&rounds, 1, __ATOMIC_SEQ_CST);
#else
		__atomic_fetch_add(&rounds, 2, __ATOMIC_SEQ_CST);
#endif
	}
	return arg;
}

NOINLINE static int handle(const char *line)
{
	return printf("handle %d of %d\n", V, (int)strlen(line));
}

NOINLINE static int serve(void)
{
	char line[64];
	int n = 0;
	while (fgets(line, sizeof line, stdin)) {
		n += handle(line);
#if V >= 4
		extra += V;
#endif
	}
	return n;
}

NOINLINE static void answer(void)
{
	char line[64];
	while (fgets(line, sizeof line, stdin))
		printf("wrong %ld total %ld\n", wrong, total);
}

int main(int argc, char **argv)
{
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	if (argc > 1 && strcmp(argv[1], "keeps") == 0) {
		if (pthread_create(&t, NULL, loop, NULL))
			return 1;
		answer();
		_exit(0);
	}
	return serve() == 0;
}
