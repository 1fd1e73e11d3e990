// The cost of only stopping and resuming the threads of a process: SEIZE, INTERRUPT, wait, GETREGSET,
// CONT, in the same scheduling class as the tracer. usage: floor PID ROUNDS; prints the median pause in ns.
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int cmp(const void *a, const void *b)
{
	int64_t x = *(int64_t *)a, y = *(int64_t *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	char dir[64];
	static int tid[8192];
	int n = 0, rounds = argc > 2 ? atoi(argv[2]) : 1;
	int64_t *took = calloc(rounds, sizeof *took);
	struct dirent *e;
	snprintf(dir, sizeof dir, "/proc/%s/task", argv[1]);
	DIR *d = opendir(dir);
	if (!d)
		return 1;
	while ((e = readdir(d)))
		if (atoi(e->d_name))
			tid[n++] = atoi(e->d_name);
	for (int i = 0; i < n; i++)
		if (ptrace(PTRACE_SEIZE, tid[i], 0, 0))
			return 2;
	struct sched_param fifo = {1}, other = {0};
	for (int r = 0; r < rounds; r++) {
		struct user_regs_struct regs;
		int st;
		sched_setscheduler(0, SCHED_FIFO, &fifo);
		int64_t t0 = now();
		for (int i = 0; i < n; i++)
			ptrace(PTRACE_INTERRUPT, tid[i], 0, 0);
		for (int i = 0; i < n; i++) {
			struct iovec iov = {&regs, sizeof regs};
			if (waitpid(tid[i], &st, __WALL) != tid[i] || ptrace(PTRACE_GETREGSET, tid[i], NT_PRSTATUS, &iov))
				return 3;
		}
		for (int i = 0; i < n; i++)
			ptrace(PTRACE_CONT, tid[i], 0, 0);
		took[r] = now() - t0;
		sched_setscheduler(0, SCHED_OTHER, &other);
		usleep(500);
	}
	qsort(took, rounds, sizeof *took, cmp);
	printf("%lld\n", (long long)took[rounds / 2]);
	return 0;
}
