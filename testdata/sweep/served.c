// What scripts/sweep works on: a server in three versions (-DV=1..3) in which a patch changes the arguments between two static
// functions, and between these and their caller. gcc -O2 passes them in other registers and another order, so every mixture of
// two versions answers wrongly.
//
// usage: served N    descriptor 3 is the gate, those from 4 to 3+N are connections; a request is a number of 8 bytes, its
// reply one as well
//
// Each of the first N-2 connections has a thread that blocks in read; the thread of the last but one blocks in epoll_wait; the
// last is served by threads that come and go. One more thread sleeps in nanosleep. Lines of input are commands:
//
//	sum      prints "ok EPOLL": how often epoll_wait gave EINTR; any other call that was disturbed prints FAIL
//	hold     a thread enters rate(), says "held TID" there, waits for a byte from the gate, and says "left ANSWER"
//	spawn    a thread is made that serves the last connection; prints "spawned". The request END ends it
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define NOIPA __attribute__((noipa))

enum { GATE = 3, FIRST, HOLD = -1, END = -2 };

static volatile long eintr, disturbed;
static const char *volatile what = "";

// Says that the thread is about to block in the gate, and blocks.
NOIPA static void stay(void)
{
	char c;
	printf("held %d\n", gettid());
	if (read(GATE, &c, 1) != 1)
		abort();
}

// The expected answers stand in internal/sweep as well.
#if V == 1
static NOINLINE int64_t fee(int64_t units, int64_t price)
{
	return units * 0x9e3779b97f4a7c15 ^ price;
}
static NOINLINE int64_t rate(int64_t n, int64_t key)
{
	if (n == HOLD)
		stay();
	return fee(n + key, key ^ 0x5a5a) + n;
}
NOIPA static int64_t quote(int64_t n)
{
	return rate(n, n * 3 + 1) ^ 0x1111;
}
#elif V == 2
static NOINLINE int64_t fee(int64_t scale, int64_t price, int64_t units)
{
	return price * 0x9e3779b97f4a7c15 + (units ^ scale << 7);
}
static NOINLINE int64_t rate(int64_t key, int64_t scale, int64_t n)
{
	if (n == HOLD)
		stay();
	return fee(key ^ n, n - scale, key + 0x333) - key;
}
NOIPA static int64_t quote(int64_t n)
{
	return rate(n * 5 + 2, n >> 3, n) ^ 0x2222;
}
#else
static NOINLINE int64_t fee(int64_t price, int64_t scale)
{
	return (price ^ scale << 9) * 0xc2b2ae3d27d4eb4f;
}
static NOINLINE int64_t rate(int64_t scale, int64_t key, int64_t price, int64_t n)
{
	if (n == HOLD)
		stay();
	return fee(key + scale, price - n) + price;
}
NOIPA static int64_t quote(int64_t n)
{
	return rate(n >> 1, n * 7 + 3, n ^ 0x77, n) ^ 0x3333;
}
#endif

static void wrong(const char *call)
{
	what = call;
	disturbed++;
}

// Answers one request; 0 at the end.
static int answer(int fd)
{
	int64_t n;
	ssize_t got = read(fd, &n, sizeof n);
	if (got != sizeof n) {
		if (got)
			wrong("read");
		return 0;
	}
	if (n == END)
		return write(fd, &n, sizeof n) < 0;
	n = quote(n);
	if (write(fd, &n, sizeof n) != sizeof n)
		wrong("write");
	return 1;
}

static void *reader(void *arg)
{
	while (answer((int)(intptr_t)arg))
		;
	return NULL;
}

static void *waiter(void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = (int)(intptr_t)arg, ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	for (;;) {
		int n = epoll_wait(ep, &ev, 1, -1);
		if (n == 1) {
			if (!answer(fd))
				return NULL;
		} else if (n < 0 && errno == EINTR) {
			eintr++;
		} else {
			wrong("epoll_wait");
		}
	}
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void *sleeper(void *arg)
{
	const struct timespec nap = { 0, 30000000 };
	for (;;) {
		int64_t start = now();
		if (nanosleep(&nap, NULL) || now() - start < nap.tv_nsec)
			wrong("nanosleep");
	}
	return arg;
}

static void *holder(void *arg)
{
	(void)arg;
	printf("left %lld\n", (long long)quote(HOLD));
	return NULL;
}

static void start(void *(*fn)(void *), int fd)
{
	pthread_t t;
	if (pthread_create(&t, NULL, fn, (void *)(intptr_t)fd))
		wrong("pthread_create");
	else
		pthread_detach(t);
}

int main(int argc, char **argv)
{
	char line[64];
	int last = FIRST + (argc > 1 ? atoi(argv[1]) : 0) - 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (last < FIRST + 2)
		return 2;
	for (int fd = FIRST; fd < last - 1; fd++)
		start(reader, fd);
	start(waiter, last - 1);
	start(sleeper, -1);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "sum\n")) {
			if (disturbed)
				printf("FAIL %s %ld\n", what, disturbed);
			else
				printf("ok %ld\n", eintr);
		} else if (!strcmp(line, "hold\n")) {
			start(holder, -1);
		} else if (!strcmp(line, "spawn\n")) {
			start(reader, last);
			puts("spawned");
		}
	}
	_exit(0);
}
