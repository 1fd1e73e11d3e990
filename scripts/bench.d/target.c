/* The program that scripts/bench patches. It reports through a shared file:
 *
 *     target FILE pause THREADS SPINNING     threads, some of which spin and watch the clock
 *     target FILE call                       one thread that times calls of answer(), in CPU time
 *
 * THREADS counts the main thread. What does not spin waits: every fourth thread in epoll_wait,
 * the others in a futex.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 0
#endif

#define MAX_SPINNING 8

struct shared {
	_Atomic uint64_t ready;    /* threads that have begun */
	_Atomic uint64_t gap;      /* longest time between two clock reads of one spinning thread, ns */
	_Atomic uint64_t answer;   /* what answer(0) returned last */
	_Atomic uint64_t windows;  /* call: measurements so far */
	_Atomic uint64_t ns;       /* call: nanoseconds of the last one */
	_Atomic uint64_t calls;    /* call: calls in it */
	_Atomic uint64_t sink;     /* call: keeps the calls from being optimised away */
	_Atomic uint64_t eintr;    /* interrupted calls that the program has noticed */
	_Atomic uint64_t beats[MAX_SPINNING]; /* clock reads of each spinning thread */
};

static struct shared *sh;
static pthread_mutex_t never_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

/* The function that is patched: a leaf, as short as one that takes a jump. */
__attribute__((noinline, noclone)) uint64_t answer(uint64_t x)
{
	return (x ^ 0x5555) + VERSION;
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static void *spin(void *arg)
{
	int self = sh->ready++ % MAX_SPINNING; /* spinning threads begin first */
	uint64_t last = now();
	for (unsigned i = 0;; i++) {
		uint64_t t = now(), gap = t - last, seen = sh->gap;
		last = t;
		while (gap > seen && !atomic_compare_exchange_weak(&sh->gap, &seen, gap))
			;
		atomic_store_explicit(&sh->beats[self], i, memory_order_relaxed);
		if (i % 4096 == 0)
			sh->answer = answer(0);
	}
	return arg;
}

static void *wait_epoll(void *arg)
{
	struct epoll_event e;
	int fd = epoll_create1(0);
	sh->ready++;
	for (;;)
		if (epoll_wait(fd, &e, 1, -1) < 0)
			sh->eintr++;
	return arg;
}

static void *wait_futex(void *arg)
{
	pthread_mutex_lock(&never_lock);
	sh->ready++;
	for (;;)
		pthread_cond_wait(&never, &never_lock);
	return arg;
}

static void time_calls(void)
{
	enum { CALLS = 4000000 };
	sh->ready++;
	for (;;) {
		/* CPU time: other load on the machine does not count. */
		uint64_t start = read_clock(CLOCK_THREAD_CPUTIME_ID), x = 0;
		for (int i = 0; i < CALLS; i++)
			x = answer(x);
		sh->ns = read_clock(CLOCK_THREAD_CPUTIME_ID) - start;
		sh->calls = CALLS;
		sh->sink = x;
		sh->answer = answer(0);
		sh->windows++;
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	int fd = open(argv[1], O_RDWR);
	sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || sh == MAP_FAILED)
		return 1;
	if (!strcmp(argv[2], "call"))
		time_calls();
	int threads = atoi(argv[3]), spinning = atoi(argv[4]);
	if (spinning > MAX_SPINNING)
		return 2;
	for (int i = 1; i < threads; i++) {
		while (i == spinning + 1 && sh->ready < (unsigned)spinning)
			; /* so that the spinning ones are the first that report */
		pthread_t t;
		pthread_attr_t attr;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, 128 << 10);
		if (pthread_create(&t, &attr, i <= spinning ? spin : i % 4 == 0 ? wait_epoll : wait_futex, NULL))
			return 1;
	}
	if (spinning >= threads)
		spin(NULL);
	wait_futex(NULL);
}
