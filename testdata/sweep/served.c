// What scripts/sweep works on: a server in three versions (-DV=1..3) in which a patch changes the arguments between two static
// functions, and between these and their caller. gcc -O2 passes them in other registers and another order, so every mixture of
// two versions answers wrongly.
//
// usage: served N [storm]   descriptor 3 is the gate, those from 4 to 3+N are connections; a request is a number of 8 bytes, its
// reply one as well
//
// Each of the first N-2 connections has a thread that blocks in read; the thread of the last but one blocks in epoll_wait; the
// last is served by threads that come and go. One more thread sleeps in nanosleep. Lines of input are commands:
//
//	sum      prints "ok EPOLL": how often epoll_wait gave EINTR; any other call that was disturbed prints FAIL
//	hold     a thread enters rate(), says "held TID" there, waits for a byte from the gate, and says "left ANSWER"
//	storm    prints "ok SIGUSR1 SIGALRM": how many times the handlers ran, and no run was lost
//	spawn    a thread is made that serves the last connection; prints "spawned". The request END ends it
//
// With "storm" a child sends SIGUSR1, at most every 100 us and each when the one before has been handled, so that none
// coalesces; and a timer sends SIGALRM every 100 us, whose handler adds up the expirations that coalesced (si_overrun). So both
// count every signal.
// The threads that serve connections by read, and the main thread, take them.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

enum { PERIOD = 100000 }; // ns, of SIGALRM and at least of SIGUSR1

static struct {
	volatile long sent, got; // SIGUSR1
	volatile long runs, expired; // SIGALRM: handler's runs, and the timer's periods that they stand for
	volatile long missing; // the fewest periods that a run found uncounted since this was last set to a large number
	int64_t start;
} *signals;

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	int saved = errno;
	(void)ctx;
	if (sig == SIGUSR1) {
		__sync_fetch_and_add(&signals->got, 1);
	} else {
		long counted = __sync_add_and_fetch(&signals->expired, 1 + si->si_overrun);
		long missing = (long)((now() - signals->start) / PERIOD) - counted;
		if (missing < signals->missing)
			signals->missing = missing;
		__sync_fetch_and_add(&signals->runs, 1);
	}
	errno = saved;
}

static void nap(long ns)
{
	nanosleep(&(struct timespec){ 0, ns }, NULL);
}

static void send_signals(pid_t to, int descriptors)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 0; fd < descriptors; fd++)
		if (fd != 2)
			close(fd);
	while (getppid() == to) {
		if (signals->got == signals->sent) {
			signals->sent++;
			kill(to, SIGUSR1);
		}
		nap(PERIOD);
	}
	_exit(0);
}

static void storm(int descriptors)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	pid_t self = getpid();
	timer_t timer;
	signals = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	if (!fork())
		send_signals(self, descriptors);
	if (timer_create(CLOCK_MONOTONIC, &ev, &timer))
		abort();
	// The first period begins where it is said to, however late the timer is set.
	int64_t start = signals->start = now(), second = 1000000000;
	struct itimerspec every = { { 0, PERIOD }, { (start + PERIOD) / second, (start + PERIOD) % second } };
	timer_settime(timer, TIMER_ABSTIME, &every, NULL);
}

// Says whether each signal has come to its handler, by what 100 more of each show.
static void count_signals(void)
{
	const int64_t limit = 30 * 1000000000ll;
	int64_t begin = now();
	signals->missing = 1000000;
	long runs = signals->runs + 100, got = signals->got + 100;
	while ((signals->runs < runs || signals->got < got) && now() - begin < limit)
		nap(1000000);
	if (signals->runs < runs || signals->got < got || signals->missing > 1)
		printf("FAIL SIGUSR1: %ld of %ld, SIGALRM: %ld runs, %ld periods, %ld missing\n", signals->got, signals->sent, signals->runs,
		       signals->expired, signals->missing);
	else
		printf("ok %ld %ld\n", signals->got, signals->runs);
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
	if (argc > 2 && !strcmp(argv[2], "storm"))
		storm(last + 1);
	for (int fd = FIRST; fd < last - 1; fd++)
		start(reader, fd);
	sigset_t both;
	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &both, NULL);
	start(waiter, last - 1);
	start(sleeper, -1);
	pthread_sigmask(SIG_UNBLOCK, &both, NULL);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "sum\n")) {
			if (disturbed)
				printf("FAIL %s %ld\n", what, disturbed);
			else
				printf("ok %ld\n", eintr);
		} else if (!strcmp(line, "storm\n")) {
			count_signals();
		} else if (!strcmp(line, "hold\n")) {
			start(holder, -1);
		} else if (!strcmp(line, "spawn\n")) {
			start(reader, last);
			puts("spawned");
		}
	}
	_exit(0);
}
