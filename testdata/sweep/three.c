// A program in two versions (-DV=1..2) of which three functions differ, in one instruction each. usage: three THREADS
// THREADS more threads wait for ever, and so does the main thread but for a line of input, which it answers with what the functions give.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

static volatile int zero;

NOINLINE int first(int n) { return (n ^ zero) * (zero + 1) + V; }
NOINLINE int second(int n) { return (n ^ zero) * (zero + 1) + V * 10; }
NOINLINE int third(int n) { return (n ^ zero) * (zero + 1) + V * 100; }

static void *waits(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	char line[64];
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int n = argc > 1 ? atoi(argv[1]) : 0; n > 0; n--)
		if (pthread_create(&t, NULL, waits, NULL))
			return 1;
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		printf("%d\n", third(second(first(0))));
	return 0;
}
