// One system call that times out. usage: timeouts CALL MS [strict]; a line on standard input starts it. Strictly, a seccomp filter kills the program that
// makes one of epoll with another register for the timeout.
// Prints "waiting", then "ok" and how many milliseconds it took, or "FAIL" if it returned anything but that its time is over.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int ms, epfd, pipes[2], sock[2], sem;
static aio_context_t aio;
static struct timespec ts;
static struct timeval tv;
static struct epoll_event ev;
static struct io_event ioev;
static struct pollfd pf;
static sigset_t usr;
static char c;
static volatile int word;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static struct timespec *later(void)
{
	int64_t t = now() + ms * 1000000ll;
	ts = (struct timespec){t / 1000000000, t % 1000000000};
	return &ts;
}

#ifdef SYS_epoll_wait
#define EPOLL_WAIT SYS_epoll_wait
#else
#define EPOLL_WAIT SYS_epoll_pwait
#endif

static int strict(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, EPOLL_WAIT, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)ms, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3]) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog p = {sizeof f / sizeof *f, f};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p);
}

#define CALLS(X)                                                                                       \
	X(nanosleep, 0, 0, nanosleep(&ts, NULL))                                                       \
	X(clock_nanosleep, 0, 0, clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL))                       \
	X(clock_abs, 0, 0, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, later(), NULL))             \
	X(futex, -1, ETIMEDOUT, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0))                \
	X(futex_abs, -1, ETIMEDOUT, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, later(), NULL, ~0u)) \
	X(poll, 0, 0, poll(&pf, 1, ms))                                                                \
	X(ppoll, 0, 0, ppoll(&pf, 1, &ts, NULL))                                                       \
	X(select, 0, 0, select(0, NULL, NULL, NULL, &tv))                                              \
	X(pselect, 0, 0, pselect(0, NULL, NULL, NULL, &ts, NULL))                                      \
	X(epoll_wait, 0, 0, epoll_wait(epfd, &ev, 1, ms))                                              \
	X(epoll_pwait, 0, 0, epoll_pwait(epfd, &ev, 1, ms, &usr))                                      \
	X(epoll_pwait2, 0, 0, syscall(441, epfd, &ev, 1, &ts, NULL, 8))                                \
	X(sigtimedwait, -1, EAGAIN, sigtimedwait(&usr, NULL, &ts))                                     \
	X(semtimedop, -1, EAGAIN, semtimedop(sem, &(struct sembuf){.sem_op = -1}, 1, &ts))             \
	X(io_getevents, 0, 0, syscall(SYS_io_getevents, aio, 1, 1, &ioev, &ts))                        \
	X(recvfrom, -1, EAGAIN, recv(sock[0], &c, 1, 0))                                               \
	X(read, -1, EAGAIN, read(sock[0], &c, 1))

int main(int argc, char **argv)
{
	char line[16];
	const char *name = argc > 2 ? argv[1] : "";
	ms = argc > 2 ? atoi(argv[2]) : 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr, NULL);
	ts = (struct timespec){ms / 1000, ms % 1000 * 1000000};
	tv = (struct timeval){ms / 1000, ms % 1000 * 1000};
	epfd = epoll_create1(0);
	sem = semget(IPC_PRIVATE, 1, 0600);
	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sock) || syscall(SYS_io_setup, 4, &aio) ||
	    setsockopt(sock[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv))
		return 1;
	pf = (struct pollfd){.fd = pipes[0], .events = POLLIN};
	puts("ready");
	if (!fgets(line, sizeof line, stdin))
		return 1;
	if (argc > 3 && strict())
		return 1;
	puts("waiting");
	int64_t begin = now();
	errno = 0;
#define X(n, r, e, call)                                                                               \
	if (!strcmp(name, #n)) {                                                                       \
		long got = (call);                                                                     \
		if (got != (r) || (e && errno != (e)))                                                 \
			printf("FAIL %s returned %ld: %s\n", name, got, strerror(errno));              \
	}
	CALLS(X)
	printf("ok %lld\n", (long long)(now() - begin) / 1000000);
	semctl(sem, 0, IPC_RMID);
	return fgets(line, sizeof line, stdin) == NULL;
}
