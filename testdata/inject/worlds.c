// Processes out of the ordinary, in two versions (-DV=1..2). Every line of input is a command:
//   N           print what answer(N) gives
//   threads N   N more threads wait for ever
//   spinners N  N more threads call answer() all the time, check it, and leave it at once
//   seccomp X   kill: a filter that kills on mmap; one: the same, after a thread without it was made; name: a filter
//               that kills on uname, which nobody calls; strict: all but the syscalls of this loop kill
//   leader      the main thread ends, another one goes on answering
//   vfork       another thread has a vfork child, until "end"
//   clonevm     a process shares the memory, until "end"
//   uring       a worker of io_uring waits in a read, until "end", which prints its result
//   child       a forked child prints what answer(1) gives in it
//   exec        a forked child executes the program, which does the same
//   stale       an address inside of answer() lies on the main thread's stack from now on
//   timed       a thread waits in sigtimedwait for an hour
//   sleepers    threads wait in pause, sigsuspend, nanosleep and epoll_wait
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline, noclone)) int answer(int n)
{
#if V == 1
	return n + 1;
#else
	return n * 2 + 10;
#endif
}

static void die(const char *what)
{
	printf("FAIL %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void *waits(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *spins(void *arg)
{
	for (;;) {
		int v = answer(1);
		if (v != 2 && v != 12)
			abort();
		for (volatile int i = 0; i < 200; i++) // most of the time elsewhere
			;
	}
	return arg;
}

static void *suspends(void *arg)
{
	sigset_t none;
	sigemptyset(&none);
	for (;;)
		sigsuspend(&none);
	return arg;
}

static void *sleeps(void *arg)
{
	if (sleep(3600))
		die("sleep");
	return arg;
}

static void *polls(void *arg)
{
	struct epoll_event ev;
	epoll_wait(epoll_create1(0), &ev, 1, -1);
	die("epoll_wait");
	return arg;
}

static void *timed(void *arg)
{
	sigset_t usr;
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	sigtimedwait(&usr, NULL, &(struct timespec){3600, 0});
	die("sigtimedwait");
	return arg;
}

static void start(void *(*fn)(void *), int n)
{
	pthread_t t;
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 64 << 10);
	while (n-- > 0)
		if (pthread_create(&t, &a, fn, NULL))
			die("pthread_create");
}

static void filter(const struct sock_filter *f, int n)
{
	struct sock_fprog p = {n, (struct sock_filter *)f};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		die("seccomp");
}

static void seccomp(const char *how)
{
	struct sock_filter kill[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, !strcmp(how, "name") ? SYS_uname : SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_filter strict[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	if (!strcmp(how, "one"))
		start(waits, 1);
	if (!strcmp(how, "strict"))
		filter(strict, 6);
	else
		filter(kill, 4);
}

static int hold[2];
static volatile int forked;

static void *vforks(void *arg)
{
	char c;
	if (!vfork()) {
		forked = 1;
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		c = read(hold[0], &c, 1);
		_exit(0);
	}
	return arg;
}

static int shares(void *arg)
{
	char c;
	(void)arg;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	forked = 1;
	return read(hold[0], &c, 1) != 1;
}

static void await(void)
{
	while (!forked)
		sched_yield();
}

static void clonevm(void)
{
	static char stack[65536];
	if (clone(shares, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL) < 0)
		die("clone");
	await();
}

static int ring;
static char *cq;
static struct io_uring_params params;

static void uring(void)
{
	struct io_uring_params *p = &params;
	static char c;
	if ((ring = syscall(SYS_io_uring_setup, 4, p)) < 0)
		die("io_uring_setup");
	char *sq = mmap(0, p->sq_off.array + p->sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(0, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqe = mmap(0, p->sq_entries * sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	*sqe = (struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = hold[0], .addr = (uint64_t)&c, .len = 1};
	*(uint32_t *)(sq + p->sq_off.array) = 0;
	__sync_fetch_and_add((uint32_t *)(sq + p->sq_off.tail), 1);
	if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 8) != 1)
		die("io_uring_enter");
}

static void end(void)
{
	if (write(hold[1], "x", 1) != 1)
		die("write");
	if (!ring) {
		puts("ok");
		return;
	}
	while (syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8) < 0)
		if (errno != EINTR)
			die("io_uring_enter");
	printf("%d\n", ((struct io_uring_cqe *)(cq + params.cq_off.cqes))->res);
}

static void child(int exec)
{
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		if (exec)
			execl("/proc/self/exe", "worlds", "once", NULL);
		printf("%d\n", answer(1));
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
}

static void *loop(void *arg);

static void command(const char *line)
{
	static const struct { const char *name; void (*fn)(void); } plain[] = {{"clonevm\n", clonevm}, {"uring\n", uring}};
	char how[16];
	int n;
	if (sscanf(line, "threads %d", &n) == 1)
		start(waits, n);
	else if (sscanf(line, "spinners %d", &n) == 1)
		start(spins, n);
	else if (sscanf(line, "seccomp %15s", how) == 1)
		seccomp(how);
	else if (!strcmp(line, "sleepers\n"))
		start(waits, 1), start(suspends, 1), start(sleeps, 1), start(polls, 1);
	else if (!strcmp(line, "timed\n"))
		start(timed, 1);
	else if (!strcmp(line, "vfork\n"))
		start(vforks, 1), await();
	for (int i = 0; i < 2; i++)
		if (!strcmp(line, plain[i].name))
			plain[i].fn();
	puts("ok");
}

static void *loop(void *arg)
{
	static char line[256];
	int (*volatile pointer)(int) = answer;
	volatile uint64_t stale = 0;
	while (fgets(line, sizeof line, stdin)) {
		if (line[0] >= '0' && line[0] <= '9') {
			printf("%d\n", answer(atoi(line)));
		} else if (!strcmp(line, "leader\n")) {
			start(loop, 1);
			puts("ok");
			pthread_exit(NULL);
		} else if (!strcmp(line, "end\n")) {
			end();
		} else if (!strcmp(line, "stale\n")) {
			stale = (uint64_t)pointer + 2;
			puts("ok");
		} else if (!strcmp(line, "child\n") || !strcmp(line, "exec\n")) {
			child(line[0] == 'e');
		} else {
			command(line);
		}
	}
	_exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (argc > 1 && !strcmp(argv[1], "once"))
		return printf("%d\n", answer(1)) < 0;
	if (pipe(hold))
		return 1;
	puts("ready");
	loop(NULL);
}
