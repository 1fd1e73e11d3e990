// A program in two versions (-DV=1, 2) whose work() is busy in one way or another.
// usage: busy half THREADS MICROSECONDS   threads are in work() half of the time, sleeping
//        busy spin THREADS MICROSECONDS   the same, but they spin
//        busy lock                        work() waits for a lock that another thread holds nearly always, and sleeps with
//        busy jump                        work() is left by longjmp
//        busy deep N                      work() calls itself N deep and back, all the time
//        busy own                         work() is a thread's start function and never ends
//        busy loop                        never() is called by a thread's start function and never ends
//        busy leaf                        leaf() is a thread's start function, calls nothing and never ends
//        busy main                        main() itself changes and loops
//        busy long                        one thread is in work() until "leave" is read
// "sum" prints "calls N new N", how many calls of work() have ended and how many of these in version 2.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))
#ifdef ONLYLEAF
#define NEW 0
#else
#define NEW (V == 2)
#endif

static volatile long calls, news, left;
static long span;
static const char *mode;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread jmp_buf out;

NOINLINE static void stay(void)
{
	struct timespec t;
	if (strcmp(mode, "spin")) {
		usleep(span);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &t);
	long end = t.tv_sec * 1000000 + t.tv_nsec / 1000 + span;
	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while (t.tv_sec * 1000000 + t.tv_nsec / 1000 < end);
}

NOINLINE static void done(long n)
{
	__atomic_fetch_add(&news, n, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
}

// Were longjmp called by work() itself, the call could be its last instruction. What it returns to would then be the address of run(),
// which lies behind and of which a pointer stands in every thread's block of thread-local storage.
NOINLINE static void leave(void)
{
	longjmp(out, 1);
}

NOINLINE void work(long depth)
{
	if (depth > 0) {
		work(depth - 1);
	} else if (strcmp(mode, "lock") == 0) {
		pthread_mutex_lock(&lock);
		pthread_mutex_unlock(&lock);
	} else if (strcmp(mode, "long") == 0) {
		while (!left)
			usleep(1000);
	} else {
		stay();
	}
	done(NEW);
	if (strcmp(mode, "jump") == 0)
		leave();
}

NOINLINE static void never(void)
{
	for (;;) {
		usleep(1000);
		done(NEW);
	}
}

NOINLINE static void *within(void *arg)
{
	if (!left)
		never();
	return arg;
}

NOINLINE static void *run(void *arg)
{
	for (;;) {
		if (strcmp(mode, "jump")) {
			work((long)arg);
		} else if (setjmp(out) == 0) {
			work(0);
		}
		if (strcmp(mode, "long") == 0)
			return NULL;
		if (strcmp(mode, "lock"))
			stay();
	}
}

NOINLINE static void *own(void *arg)
{
	for (;;) {
		usleep(1000);
		done(NEW);
	}
	return arg;
}

NOINLINE static void *leaf(void *arg)
{
	for (;;) {
		calls++;
#if V == 2
		news++;
#endif
	}
	return arg;
}

NOINLINE static void *holder(void *arg)
{
	for (;;) {
		pthread_mutex_lock(&lock);
		usleep(span);
		pthread_mutex_unlock(&lock);
		usleep(span / 8);
	}
	return arg;
}

NOINLINE static void start(void *(*fn)(void *), long arg)
{
	pthread_t t;
	if (pthread_create(&t, NULL, fn, (void *)arg))
		abort();
}

NOINLINE static void answer(const char *line)
{
	left |= strcmp(line, "leave\n") == 0;
	printf("calls %ld new %ld\n", calls, news);
}

int main(int argc, char **argv)
{
	char line[64];

	mode = argv[1];
	span = argc > 3 ? atol(argv[3]) : 1000;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(mode, "own") == 0) {
		start(own, 0);
	} else if (strcmp(mode, "loop") == 0) {
		start(within, 0);
	} else if (strcmp(mode, "leaf") == 0) {
		start(leaf, 0);
	} else if (strcmp(mode, "main")) {
		for (int i = argc > 3 ? atoi(argv[2]) : 1; i > 0; i--)
			start(run, strcmp(mode, "deep") ? 0 : atol(argv[2]));
	}
	if (strcmp(mode, "lock") == 0)
		start(holder, 0);
	if (!strcmp(mode, "own") || !strcmp(mode, "loop") || !strcmp(mode, "leaf"))
		while (!*(volatile long *)&calls) // the thread is inside
			usleep(100);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
#if defined(MAIN) && V == 2
		done(1);
#endif
		answer(line);
	}
	_exit(argc < 0);
}
