// Threads that are blocked in all the usual ways, each after a call of "replaced" that left its
// return addresses behind in the dead part of the stack, which the blocked frames then reuse.
// For the unwinder's test of threads: every stack can be walked to its thread's start, and only
// the threads whose names begin with "busy" are in replaced.
//
// Expected output: ready; the program ends when its standard input does.
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static int never[2]; // a pipe that nobody writes to
static pthread_barrier_t started;
volatile int sink;
void (*volatile hook)(void);

// Blocks, with a buffer of which most is not written.
#define BLOCK(name, call)                     \
	NOINLINE void name(void)              \
	{                                     \
		volatile char buf[700];       \
		buf[0] = buf[699] = 1;        \
		pthread_barrier_wait(&started); \
		call;                         \
		sink = buf[0] + buf[699];     \
	}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static char byte;

static void wait_cond(void)
{
	pthread_mutex_lock(&mutex);
	pthread_cond_wait(&cond, &mutex);
}

static void wait_epoll(void)
{
	struct epoll_event e;
	epoll_wait(epoll_create1(0), &e, 1, -1);
}

BLOCK(in_sleep, nanosleep(&((struct timespec){1000, 0}), NULL))
BLOCK(in_read, read(never[0], &byte, 1))
BLOCK(in_cond, wait_cond())
BLOCK(in_sem, sem_wait(&sem))
BLOCK(in_poll, poll(&((struct pollfd){never[0], POLLIN, 0}), 1, -1))
BLOCK(in_epoll, wait_epoll())

static void handler(int sig)
{
	(void)sig;
	in_read();
}

// Blocks in a signal's handler.
NOINLINE void in_handler(void)
{
	raise(SIGUSR1);
}

static void on_alternate(int sig)
{
	(void)sig;
	in_sleep();
}

// The same, on an alternate stack.
NOINLINE void in_alternate(void)
{
	char *alt = malloc(65536);
	sigaltstack(&(stack_t){.ss_sp = alt, .ss_size = 65536}, NULL);
	raise(SIGUSR2);
}

// The same, on an alternate stack in one mapping with the thread's own one: thread-local storage lies at its upper end, below the
// thread pointer (x86-64) or above it (arm64).
static __thread char inner[65536];

NOINLINE void in_inner(void)
{
	sigaltstack(&(stack_t){.ss_sp = inner, .ss_size = sizeof inner}, NULL);
	raise(SIGUSR2);
}

// The same, on an alternate stack that is a part of the thread's own one, above the
// frames that are interrupted.
NOINLINE void in_frame(void)
{
	char buf[65536];
	sigaltstack(&(stack_t){.ss_sp = buf, .ss_size = sizeof buf}, NULL);
	raise(SIGUSR2);
	sink = buf[0];
}

// The same, on an alternate stack after another one: the kernel forgets the first when its handler begins. Both are in mappings of their own.
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
enum { ALT = 65536 };
static __thread char *alternates;
static __thread int nested;

static void arm(char *at)
{
	sigaltstack(&(stack_t){.ss_sp = at, .ss_size = ALT, .ss_flags = (int)SS_AUTODISARM}, NULL);
}

NOINLINE void in_nested(void)
{
	alternates = mmap(NULL, 3 * ALT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(alternates + ALT, ALT, PROT_NONE);
	arm(alternates);
	raise(SIGURG);
}

static void nest(void)
{
	arm(alternates + 2 * ALT);
	raise(SIGUSR2);
}

NOINLINE int depth(int n)
{
	volatile char buf[128];
	buf[0] = (char)n;
	if (hook && n == 0)
		hook();
	return n > 0 ? depth(n - 1) + buf[0] : buf[0];
}

// Calls the blocking function if there is one, and leaves much behind on the stack.
NOINLINE int replaced(int n)
{
	int r = 0;
	for (int i = 0; i < n; i++)
		r += depth(i);
	return r;
}

struct thread {
	const char *name;
	void (*block)(void);
	int busy; // 1: it blocks in replaced; 2: in replaced that a handler has called
};

static __thread struct thread *self;

static void call_block(void)
{
	if (nested)
		nest();
	else if (self->busy == 1)
		self->block();
}

static void on_first(int sig)
{
	(void)sig;
	nested = 1;
	if (self->busy == 2)
		sink += replaced(1);
	else
		nest();
}

static void *run(void *arg)
{
	self = arg;
	pthread_setname_np(pthread_self(), self->name);
	sink += replaced(6);
	self->block();
	return NULL;
}

int main(void)
{
	static struct thread threads[] = {
		{"sleep", in_sleep, 0}, {"read", in_read, 0}, {"cond", in_cond, 0}, {"sem", in_sem, 0},
		{"poll", in_poll, 0}, {"epoll", in_epoll, 0}, {"handler", in_handler, 0}, {"alternate", in_alternate, 0},
		{"inner alternate", in_inner, 0}, {"busy inner alt", in_inner, 1},
		{"frame alternate", in_frame, 0}, {"busy frame alt", in_frame, 1},
		{"busy read", in_read, 1}, {"busy handler", in_handler, 1}, {"busy alternate", in_alternate, 1},
		{"nested", in_nested, 0}, {"busy nested", in_nested, 2},
	};
	enum { N = sizeof threads / sizeof threads[0] };
	pthread_t t;
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = handler;
	sigaction(SIGUSR1, &sa, NULL);
	sa.sa_handler = on_alternate;
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR2, &sa, NULL);
	sa.sa_handler = on_first;
	sigaction(SIGURG, &sa, NULL);
	sem_init(&sem, 0, 0);
	if (pipe(never))
		return 1;
	hook = call_block;
	pthread_barrier_init(&started, NULL, N + 1);
	for (int i = 0; i < N; i++)
		pthread_create(&t, NULL, run, &threads[i]);
	pthread_barrier_wait(&started);
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
