// Threads that are in one function half of the time, for rounds.
// usage: rounds THREADS MICROSECONDS spin|sleep|spawn|end
// spin and sleep: what a thread does in the function and outside. spawn: after each call it makes a thread and waits for its end.
// end: it ends after its first call. Prints for each thread "TID RETURN-ADDRESS STACK-POINTER", where it is after the call, then the
// addresses of the number of calls that have ended, of the main thread's counter and of that of signals. "sum" prints "ok CALLS".
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile long calls[64], signals, beats;
static volatile unsigned long from[64], top[64];
static volatile int tids[64], started;
static long span;
static const char *mode;

static long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void stay(void)
{
	if (strcmp(mode, "sleep") == 0) {
		usleep(span);
		return;
	}
	for (long end = now() + span; now() < end;)
		;
}

__attribute__((noinline, noclone, optimize("no-omit-frame-pointer"))) static void hold(int i)
{
	from[i] = (unsigned long)__builtin_return_address(0);
	top[i] = (unsigned long)__builtin_dwarf_cfa();
	if (!tids[i]) {
		tids[i] = gettid();
		__atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
	}
	stay();
}

static void *nothing(void *arg) { return arg; }

static void *run(void *arg)
{
	int i = (int)(long)arg;
	for (;;) {
		hold(i);
		calls[i]++;
		if (strcmp(mode, "end") == 0)
			return NULL;
		if (strcmp(mode, "spawn") == 0) {
			pthread_t t;
			if (pthread_create(&t, NULL, nothing, NULL) || pthread_join(t, NULL))
				abort();
		}
		stay();
	}
}

static void *beat(void *arg)
{
	for (;;) {
		beats++;
		usleep(50);
	}
	return arg;
}

static void count(int sig) { signals += sig != 0; }

int main(int argc, char **argv)
{
	int n = atoi(argv[1]);
	pthread_t t;
	char line[64];

	span = atol(argv[2]);
	mode = argv[3];
	signal(SIGUSR1, count);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long i = 0; i < n; i++)
		if (pthread_create(&t, NULL, run, (void *)i))
			abort();
	if (pthread_create(&t, NULL, beat, NULL))
		abort();
	while (started < n)
		usleep(100);
	puts("ready");
	for (int i = 0; i < n; i++)
		printf("%d %#lx %#lx\n", tids[i], from[i], top[i]);
	printf("%#lx %#lx %#lx\n", (unsigned long)calls, (unsigned long)&beats, (unsigned long)&signals);
	while (fgets(line, sizeof line, stdin)) {
		long sum = 0;
		for (int i = 0; i < n; i++)
			sum += calls[i];
		printf("ok %ld\n", sum);
	}
	_exit(argc < 0);
}
