/* The program that scripts/bench patches. It reports through a shared file:
 *
 *     target FILE pause THREADS SPINNING     threads, some of which spin and watch the clock
 *     target FILE call                       one thread that times calls of answer(), in CPU time
 *     target FILE wait THREADS BUSY          threads, some of which are in held() until they are let go, over and over
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
	_Atomic uint64_t go;       /* wait: 2n-1 lets round n leave held(), 2n lets the next one begin */
	_Atomic uint64_t inside;   /* wait: threads in held() */
	_Atomic uint64_t left;     /* wait: when the last of a round had left held(), ns */
	_Atomic uint64_t seen;     /* wait: when a thread then saw the new version of answer(), ns; 0: not yet */
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

/* Busy until the round is let go, and some time more for each thread, so that they leave one after the other. It is patched, too. */
__attribute__((noinline, noclone)) static uint64_t held(uint64_t round, int self)
{
	sh->inside++;
	while (sh->go < 2 * round - 1)
		usleep(1000);
	usleep(100 * self + VERSION);
	sh->inside--;
	return round + VERSION;
}

static void *busy(void *arg)
{
	int self = (int)(long)arg;
	volatile uint64_t zero = 0; /* read each time, so that every call is made */
	for (uint64_t round = 1;; round++) {
		sh->ready++;
		sh->sink = held(round, self);
		uint64_t t = now(), before = sh->left;
		while (before < t && !atomic_compare_exchange_weak(&sh->left, &before, t))
			;
		/* The first thread looks for the new version. It is seldom in answer(), so that it is not waited for. */
		while (self == 0 && answer(zero) == 0x5555)
			usleep(10);
		if (self == 0)
			sh->seen = now();
		while (sh->go < 2 * round) /* to the next round */
			usleep(1000);
	}
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
	if (!strcmp(argv[2], "wait")) { /* for all threads, if permitted: other load does not count */
		struct sched_param first = { .sched_priority = 1 };
		pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	}
	for (long i = 0; i < spinning && !strcmp(argv[2], "wait"); i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, busy, (void *)i))
			return 1;
	}
	if (!strcmp(argv[2], "wait")) {
		threads -= spinning;
		spinning = 0;
	}
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
