// Processes that are out of the ordinary. usage: odd MODE; a line on standard input starts what the mode does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <linux/audit.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char line[64];
static int next(void) { return fgets(line, sizeof line, stdin) != NULL; }
static void die(const char *s)
{
	printf("FAIL %s: %s\n", s, strerror(errno));
	fflush(stdout);
	_exit(1);
}

// leader: the main thread ends, another answers.
static void *answers(void *arg)
{
	(void)arg;
	while (next())
		puts("ok");
	_exit(0);
}

static void leader(void)
{
	pthread_t t;
	pthread_create(&t, NULL, answers, NULL);
	pthread_exit(NULL);
}

// seccomp ERRNO|TRAP|KILL|ONE|OTHER|TWICE|RESTART: every thread (ONE: only the main one) is under a filter that answers mmap so.
// RESTART: threads in poll, nanosleep and futex with timeouts of an hour, and a filter that kills on restart_syscall.
// OTHER: a filter that answers another call so, and allows the rest. TWICE: that one, and one that kills on mmap.
static void answer(uint32_t nr, uint32_t action)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {4, f};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		die("seccomp");
}

static void *sleeps(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *polls(void *arg)
{
	if (poll(NULL, 0, 3600000))
		die("poll");
	return arg;
}

static void *naps(void *arg)
{
	if (nanosleep(&(struct timespec){3600, 0}, NULL))
		die("nanosleep");
	return arg;
}

static void *waits(void *arg)
{
	static int word;
	if (syscall(SYS_futex, &word, 0, 0, &(struct timespec){3600, 0}, NULL, 0))
		die("futex");
	return arg;
}

static void seccomp(const char *how)
{
	pthread_t t;
	if (!strcmp(how, "RESTART")) {
		answer(SYS_restart_syscall, SECCOMP_RET_KILL_PROCESS);
		pthread_create(&t, NULL, polls, NULL);
		pthread_create(&t, NULL, naps, NULL);
		pthread_create(&t, NULL, waits, NULL);
		how = "OTHER";
	}
	if (!strcmp(how, "ONE"))
		pthread_create(&t, NULL, sleeps, NULL);
	if (!strcmp(how, "OTHER") || !strcmp(how, "TWICE"))
		answer(SYS_acct, SECCOMP_RET_KILL_PROCESS);
	if (strcmp(how, "OTHER"))
		answer(SYS_mmap, !strcmp(how, "ERRNO") ? SECCOMP_RET_ERRNO | EACCES : !strcmp(how, "TRAP") ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS);
	puts("ready");
	while (next())
		if (!strcmp(line, "mmap\n")) // does the filter hold?
			printf("ok %d\n", mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0);
		else
			puts("ok");
}

// call_and_exit makes the call 1000 with six arguments and exits with its errno, without a call of the C library's in between.
static void call_and_exit(void)
{
#ifdef __x86_64__
	long r;
	__asm__ volatile("mov %[e], %%r8\nxor %%r9d, %%r9d\ndec %%r9\nmov %[d], %%r10\nsyscall\n"
			 "mov %%eax, %%edi\nneg %%edi\nmov $231, %%eax\nsyscall" // exit_group(errno)
			 : "=a"(r)
			 : "a"(1000l), "D"(1l), "S"(0x1122334455667788l), "d"(3l), [d] "r"(0x8000000000000004l), [e] "r"(5l)
			 : "rcx", "r8", "r9", "r10", "r11", "memory");
#else
	register long x0 __asm__("x0") = 1, x1 __asm__("x1") = 0x1122334455667788l, x2 __asm__("x2") = 3;
	register long x3 __asm__("x3") = 0x8000000000000004l, x4 __asm__("x4") = 5, x5 __asm__("x5") = -1, x8 __asm__("x8") = 1000;
	__asm__ volatile("svc #0\nneg x0, x0\nmov x8, #94\nsvc #0" // exit_group(errno)
			 : "+r"(x0), "+r"(x8)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
#endif
}

// filters: each line is a filter program in hexadecimal, as in memory. A child puts it in force and makes the call 1000, which
// does not exist, with six arguments; the answer is its errno, or the signal by which it died.
static void filters(void)
{
	static char text[1 << 16];
	static struct sock_filter f[4096];
	puts("ready");
	while (fgets(text, sizeof text, stdin)) {
		unsigned char *to = (void *)f;
		size_t n = strlen(text) / 2;
		for (size_t i = 0; i < n; i++)
			if (sscanf(text + 2 * i, "%2hhx", to + i) != 1)
				die("hexadecimal");
		struct sock_fprog p = {n / sizeof *f, f};
		int st;
		pid_t child = fork();
		if (!child) {
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
				_exit(255);
			call_and_exit();
		}
		if (waitpid(child, &st, 0) != child)
			die("waitpid");
		printf("%s %d\n", WIFEXITED(st) ? "exit" : "signal", WIFEXITED(st) ? WEXITSTATUS(st) : WTERMSIG(st));
	}
}

// vfork: a thread is in vfork until the second line comes.
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

static void vforker(void)
{
	pthread_t t;
	if (pipe(hold))
		die("pipe");
	puts("ready");
	next();
	pthread_create(&t, NULL, vforks, NULL);
	while (!forked)
		usleep(100);
	puts("forked");
	next();
	if (write(hold[1], "x", 1) != 1)
		die("write");
	pthread_join(t, NULL);
	puts("joined");
	next();
}

// rseq: spins in a restartable sequence; an abort would be counted.
extern char seq_start[], seq_end[], seq_abort[];
static struct { uint32_t version, flags; uint64_t start, len, abort; } cs __attribute__((aligned(32)));
static volatile long aborts;
static volatile int leave;

static void *sequence(void *arg)
{
	volatile struct rseq *r = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	cs.start = (uint64_t)seq_start, cs.len = seq_end - seq_start, cs.abort = (uint64_t)seq_abort;
	while (!leave) {
		r->rseq_cs = (uint64_t)&cs;
#ifdef __x86_64__
		__asm__ volatile(".globl seq_start, seq_end, seq_abort\n"
				 "seq_start: mov $100000, %%rax\n1: dec %%rax\njnz 1b\nseq_end: jmp 2f\n"
				 ".byte 0x0f, 0xb9, 0x3d\n.long %c1\nseq_abort: incq %0\n2:"
				 : "+m"(aborts) : "i"(RSEQ_SIG) : "rax", "memory", "cc");
#else
		__asm__ volatile(".globl seq_start, seq_end, seq_abort\n"
				 "seq_start: mov x9, #0x10000\n1: sub x9, x9, #1\ncbnz x9, 1b\nseq_end: b 2f\n"
				 ".inst %c1\nseq_abort: ldr x9, %0\nadd x9, x9, #1\nstr x9, %0\n2:"
				 : "+m"(aborts) : "i"(RSEQ_SIG_CODE) : "x9", "memory");
#endif
	}
	return arg;
}

static void rseqs(void)
{
	pthread_t t;
	pthread_create(&t, NULL, sequence, NULL);
	puts("ready");
	while (next())
		printf("ok %ld\n", aborts);
}

// uring: a worker of io_uring waits in read(2) of a pipe.
static void uring(void)
{
	struct io_uring_params p = {0};
	int fd = syscall(SYS_io_uring_setup, 4, &p), pfd[2];
	if (fd < 0 || pipe(pfd))
		die("io_uring_setup");
	char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqe = mmap(0, p.sq_entries * sizeof *sqe, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	static char c;
	*sqe = (struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = pfd[0], .addr = (uint64_t)&c, .len = 1};
	*(uint32_t *)(sq + p.sq_off.array) = 0;
	__sync_fetch_and_add((uint32_t *)(sq + p.sq_off.tail), 1);
	if (syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 8) != 1)
		die("io_uring_enter");
	puts("ready");
	next();
	if (write(pfd[1], "x", 1) != 1)
		die("write");
	while (syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 8) < 0)
		if (errno != EINTR)
			die("io_uring_enter");
	struct io_uring_cqe *e = (void *)(cq + p.cq_off.cqes);
	printf("ok %d\n", e->res);
	next();
}

// exec: another thread executes this program again; its second life answers too.
static void *execs(void *arg)
{
	while (next())
		if (!strcmp(line, "exec\n"))
			execl("/proc/self/exe", "odd", "answer", NULL);
		else
			puts("ok");
	return arg;
}

static void execer(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, sleeps, NULL);
	pthread_create(&t, NULL, execs, NULL);
	puts("ready");
	pause();
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(mode, "seccomp"))
		seccomp(argv[2]);
	else if (!strcmp(mode, "filters"))
		filters();
	else if (!strcmp(mode, "vfork"))
		vforker();
	else if (!strcmp(mode, "rseq"))
		rseqs();
	else if (!strcmp(mode, "uring"))
		uring();
	else if (!strcmp(mode, "exec"))
		execer();
	else {
		puts("ready");
		if (!strcmp(mode, "leader"))
			leader();
		while (next())
			puts("ok");
	}
	_exit(0);
}
