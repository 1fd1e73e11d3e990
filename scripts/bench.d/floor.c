/* The floor that hotpatch's pause is measured against: stops every thread of a process,
 * reads the general registers of each, and resumes them. Nothing else is done in the stop.
 *
 *     floor PID [fifo]
 *
 * prints the pause in nanoseconds (first interrupt to last resume) and the number of threads. With
 * "fifo" it raises itself to SCHED_FIFO for the stop, as hotpatch does where it may.
 * The threads are released by the end of this program, without another stop.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_THREADS 8192

static pid_t tids[MAX_THREADS];
static struct user_regs_struct regs[MAX_THREADS];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int list_threads(const char *pid)
{
	char path[64];
	int n = 0;
	snprintf(path, sizeof path, "/proc/%s/task", pid);
	DIR *d = opendir(path);
	if (!d)
		fail(path);
	for (struct dirent *e; (e = readdir(d)) && n < MAX_THREADS;)
		if (e->d_name[0] != '.')
			tids[n++] = atoi(e->d_name);
	closedir(d);
	return n;
}

static void raise_class(int policy, int priority)
{
	struct sched_param p = {.sched_priority = priority};
	if (sched_setscheduler(0, policy, &p))
		fail("sched_setscheduler");
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	int fifo = argc > 2 && !strcmp(argv[2], "fifo");
	int n = list_threads(argv[1]);
	for (int i = 0; i < n; i++)
		if (ptrace(PTRACE_SEIZE, tids[i], 0, 0))
			fail("seize");
	if (fifo)
		raise_class(SCHED_FIFO | SCHED_RESET_ON_FORK, 1);
	long long start = now();
	for (int i = 0; i < n; i++)
		if (ptrace(PTRACE_INTERRUPT, tids[i], 0, 0))
			fail("interrupt");
	for (int i = 0; i < n; i++) {
		int status;
		if (waitpid(tids[i], &status, __WALL) != tids[i] || !WIFSTOPPED(status))
			fail("wait");
		struct iovec v = {&regs[i], sizeof regs[i]};
		if (ptrace(PTRACE_GETREGSET, tids[i], NT_PRSTATUS, &v))
			fail("getregset");
	}
	for (int i = 0; i < n; i++)
		if (ptrace(PTRACE_CONT, tids[i], 0, 0))
			fail("cont");
	long long end = now();
	if (fifo)
		raise_class(SCHED_OTHER, 0);
	printf("%lld %d\n", end - start, n);
	return 0;
}
