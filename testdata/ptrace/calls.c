// One thread for each system call that blocks. Those with a timeout of some milliseconds loop, and check that
// they time out, never early and never with EINTR; the others wait until the end for what main
// then sends. Any other result is printed and ends the program.
// Expected: "finish" prints "ok", how often the loops went round and how often they saw EINTR, whatever stopped the threads meanwhile.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MS = 15 }; // timeout of every loop
static volatile int finish;
static int efd, pfd[2], lfd, port, msgid, semid, epfd, sock[2];
static volatile int fut;
static long interrupted;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void bad(const char *name, long got, long want)
{
	printf("FAIL %s returned %ld (errno %d: %s), want %ld\n", name, got, errno, strerror(errno), want);
	fflush(stdout);
	_exit(1);
}

// A call that times out: result r with errno e, after MS milliseconds. early: how much sooner it may be (ns). plain: a stop may make it
// return EINTR, which is counted: PLAIN on arm64, where a call that begins just when its thread is stopped cannot be made again (ptrace/eintr_arm64.go).
#ifdef __aarch64__
enum { PLAIN = 1 };
#else
enum { PLAIN = 0 };
#endif
#define LOOP(name, plain, early, r, e, call)                                                           \
	static void *name(void *rounds)                                                                \
	{                                                                                              \
		struct timespec ts = {0, MS * 1000000};                                                \
		struct timeval tv = {0, MS * 1000};                                                    \
		(void)ts, (void)tv;                                                                    \
		while (!finish) {                                                                      \
			int64_t t0 = now();                                                            \
			errno = 0;                                                                     \
			long got = (call);                                                             \
			int err = errno;                                                               \
			int64_t took = now() - t0;                                                     \
			if (got == -1 && err == EINTR && (plain)) {                                    \
				__atomic_fetch_add(&interrupted, 1, __ATOMIC_SEQ_CST);                 \
				goto again;                                                            \
			}                                                                              \
			if (got != (r) || (e && err != (e)))                                           \
				bad(#name, got, r);                                                    \
			if (took < MS * 1000000ll - (early)) {                                         \
				printf("FAIL %s took %lld ns\n", #name, (long long)took);              \
				fflush(stdout);                                                        \
				_exit(1);                                                              \
			}                                                                              \
			++*(long *)rounds;                                                             \
		again:                                                                                 \
			ts = (struct timespec){0, MS * 1000000};                                       \
			tv = (struct timeval){0, MS * 1000};                                           \
		}                                                                                      \
		return NULL;                                                                           \
	}

static __thread struct epoll_event ev;
static __thread struct pollfd pf;
static __thread sigset_t set;
static __thread char buf[64];
static __thread int rsock[2];
static __thread aio_context_t aio;
static __thread struct io_event ioev;

static sigset_t *rt(void)
{
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	return &set;
}

static int timed_socket(void)
{
	if (!rsock[1]) {
		struct timeval tv = {0, MS * 1000};
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, rsock))
			bad("socketpair", -1, 0);
		setsockopt(rsock[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	}
	return rsock[0];
}

static aio_context_t aioctx(void)
{
	if (!aio && syscall(SYS_io_setup, 4, &aio))
		bad("io_setup", -1, 0);
	return aio;
}

// epoll counts milliseconds, and a shortened timeout may lose two.
enum { ROUND = 2000000 };

// A socket's timeout counts the kernel's ticks. An emulated machine that gets no processor for a while has many of them at once, so that nothing is known
// of such a timeout there (internal/victim/scale.go).
static int64_t tick = ROUND;

LOOP(l_epoll_wait, PLAIN, ROUND, 0, 0, epoll_wait(epfd, &ev, 1, MS))
LOOP(l_epoll_pwait, PLAIN, ROUND, 0, 0, epoll_pwait(epfd, &ev, 1, MS, rt()))
LOOP(l_epoll_pwait2, PLAIN, 0, 0, 0, syscall(441, epfd, &ev, 1, &ts, NULL, 8))
LOOP(l_sigtimedwait, PLAIN, 0, -1, EAGAIN, sigtimedwait(rt(), NULL, &ts))
LOOP(l_nanosleep, 0, 0, 0, 0, nanosleep(&ts, NULL))
LOOP(l_clock_nanosleep, 0, 0, 0, 0, clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL))
LOOP(l_futex, 0, 0, -1, ETIMEDOUT, syscall(SYS_futex, &fut, FUTEX_WAIT, 0, &ts, NULL, 0))
LOOP(l_poll, 0, 0, 0, 0, (pf.fd = efd, pf.events = POLLIN, poll(&pf, 1, MS)))
LOOP(l_ppoll, 0, 0, 0, 0, (pf.fd = efd, pf.events = POLLIN, ppoll(&pf, 1, &ts, NULL)))
LOOP(l_select, 0, 0, 0, 0, select(0, NULL, NULL, NULL, &tv))
LOOP(l_pselect, 0, 0, 0, 0, pselect(0, NULL, NULL, NULL, &ts, NULL))
LOOP(l_recv, PLAIN, tick, -1, EAGAIN, recv(timed_socket(), buf, 1, 0))
LOOP(l_sockread, PLAIN, tick, -1, EAGAIN, read(timed_socket(), buf, 1))
LOOP(l_semtimedop, PLAIN, ROUND, -1, EAGAIN,
     semtimedop(semid, &(struct sembuf){.sem_num = 0, .sem_op = -1}, 1, &ts))
LOOP(l_io_getevents, PLAIN, 0, 0, 0, syscall(SYS_io_getevents, aioctx(), 1, 1, &ioev, &ts))

// Calls that wait until the end.
#define ONCE(name, want, call)                                                                         \
	static void *name(void *rounds)                                                                \
	{                                                                                              \
		errno = 0;                                                                             \
		long got = (call);                                                                     \
		if (!finish || got != (want))                                                          \
			bad(#name, got, want);                                                         \
		++*(long *)rounds;                                                                     \
		return NULL;                                                                           \
	}

static struct { long type; char text[8]; } msg;

static long acceptor(void)
{
	int c = accept(lfd, NULL, NULL);
	return c < 0 ? c : 1;
}

static int uring(void)
{
	struct io_uring_params p = {0};
	int fd = syscall(SYS_io_uring_setup, 4, &p);
	if (fd < 0)
		bad("io_uring_setup", fd, 0);
	return fd;
}

static int uringfd;
static pid_t child;

static long waiter(void)
{
	int st;
	pid_t p = waitpid(child, &st, 0);
	return p == child && WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

ONCE(o_epoll_wait, 1, epoll_wait(epfd, &ev, 1, -1))
ONCE(o_read, 8, read(efd, buf, 8))
ONCE(o_pipe, 1, read(pfd[0], buf, 1))
ONCE(o_accept, 1, acceptor())
ONCE(o_recv, 1, recv(sock[0], buf, 1, 0))
ONCE(o_msgrcv, 8, msgrcv(msgid, &msg, sizeof msg.text, 1, 0))
ONCE(o_semop, 0, semop(semid, &(struct sembuf){.sem_num = 1, .sem_op = -1}, 1))
ONCE(o_sigwait, SIGRTMIN + 3, sigwaitinfo(rt(), NULL))
ONCE(o_futex, 0, syscall(SYS_futex, &fut, FUTEX_WAIT_BITSET, 0, NULL, NULL, ~0u))
ONCE(o_waitpid, 7, waiter())

// Calls that end by a signal's handler only, with EINTR. (Nothing completes in the ring.)
#define HANDLED(name, call)                                                                            \
	static void *name(void *rounds)                                                                \
	{                                                                                              \
		errno = 0;                                                                             \
		long got = (call);                                                                     \
		if (!finish || got != -1 || errno != EINTR)                                            \
			bad(#name, got, -1);                                                           \
		++*(long *)rounds;                                                                     \
		return NULL;                                                                           \
	}

static sigset_t none;

HANDLED(h_uring, syscall(SYS_io_uring_enter, uringfd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8))
HANDLED(h_epoll_wait, epoll_wait(epoll_create1(0), &ev, 1, -1))
HANDLED(h_pause, pause())
HANDLED(h_sigsuspend, sigsuspend(&none))

static void handler(int sig) { (void)sig; }

static struct { void *(*fn)(void *); long rounds; pthread_t t; } all[] = {
	{l_epoll_wait}, {l_epoll_pwait}, {l_epoll_pwait2}, {l_sigtimedwait}, {l_nanosleep}, {l_clock_nanosleep},
	{l_futex}, {l_poll}, {l_ppoll}, {l_select}, {l_pselect}, {l_recv}, {l_sockread}, {l_semtimedop},
	{l_io_getevents}, {o_epoll_wait}, {o_read}, {o_pipe}, {o_accept}, {o_recv}, {o_msgrcv}, {o_semop},
	{o_sigwait}, {o_futex}, {o_waitpid}, {h_uring}, {h_epoll_wait}, {h_pause}, {h_sigsuspend},
};
enum { N = sizeof all / sizeof *all, LOOPS = 15, HANDLERS = 4 };

static void listener(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	lfd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(lfd, (void *)&a, len) || listen(lfd, 1) || getsockname(lfd, (void *)&a, &len))
		bad("listen", -1, 0);
	port = a.sin_port;
}

int main(void)
{
	char line[64];
	int childpipe[2], wake = eventfd(0, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getenv("HOTPATCH_EMULATED"))
		tick = MS * 1000000ll;
	sigset_t block;
	sigemptyset(&block);
	sigaddset(&block, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &block, NULL);
	signal(SIGWINCH, SIG_DFL); // ignored by default
	struct sigaction sa = {.sa_handler = handler};
	sigaction(SIGUSR2, &sa, NULL);
	efd = eventfd(0, 0);
	epfd = epoll_create1(0);
	uringfd = uring();
	epoll_ctl(epfd, EPOLL_CTL_ADD, wake, &(struct epoll_event){.events = EPOLLIN});
	msgid = msgget(IPC_PRIVATE, 0600);
	semid = semget(IPC_PRIVATE, 2, 0600);
	if (pipe(pfd) || pipe(childpipe) || socketpair(AF_UNIX, SOCK_STREAM, 0, sock))
		bad("pipe", -1, 0);
	listener();
	if (!(child = fork())) {
		char c;
		close(childpipe[1]);
		_exit(read(childpipe[0], &c, 1) == 0 ? 7 : 8);
	}
	close(childpipe[0]);
	for (int i = 0; i < N; i++)
		if (pthread_create(&all[i].t, NULL, all[i].fn, &all[i].rounds))
			bad("pthread_create", i, 0);
	puts("ready");
	if (!fgets(line, sizeof line, stdin))
		goto out; // the test has ended
	finish = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port};
	uint64_t one = 1;
	msg.type = 1;
	for (int i = 0; i < LOOPS; i++) // first, since the rest wakes some of them
		pthread_join(all[i].t, NULL);
	for (int i = 0; i < N; i++)
		if (all[i].fn == o_sigwait)
			pthread_kill(all[i].t, SIGRTMIN + 3);
	for (int i = N - HANDLERS; i < N; i++)
		pthread_kill(all[i].t, SIGUSR2);
	close(childpipe[1]);
	if (write(wake, &one, 8) != 8 || write(efd, &one, 8) != 8 || write(pfd[1], "x", 1) != 1 ||
	    send(sock[1], "x", 1, 0) != 1 || msgsnd(msgid, &msg, sizeof msg.text, 0) ||
	    semop(semid, &(struct sembuf){.sem_num = 1, .sem_op = 1}, 1) ||
	    connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof a))
		bad("wake", -1, 0);
	long total = 0;
	for (int i = 0; i < N; i++) {
		if (i >= LOOPS)
			while (pthread_tryjoin_np(all[i].t, NULL)) {
				fut = 0;
				syscall(SYS_futex, &fut, FUTEX_WAKE_BITSET, 100, NULL, NULL, ~0u);
				usleep(1000);
			}
		if (!all[i].rounds)
			bad("rounds", i, 1);
		total += all[i].rounds;
	}
	printf("ok %ld %ld\n", total, interrupted);
out:
	msgctl(msgid, IPC_RMID, NULL);
	semctl(semid, 0, IPC_RMID);
	return 0;
}
