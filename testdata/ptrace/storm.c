// Creates and ends threads or processes without a pause.
// usage: storm thread|fork|vfork|clonevm. Expected: "sum" prints "ok ROUNDS"; every thread and child ends as it should.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long rounds;
extern char **environ;

static void bad(const char *what, int got)
{
	printf("FAIL %s %d\n", what, got);
	fflush(stdout);
	_exit(1);
}

static void *shortlived(void *arg) { return (char *)arg + 1; }

static void *threads(void *arg)
{
	for (;;) {
		pthread_t t[4];
		void *ret;
		for (long i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, shortlived, (void *)i))
				bad("pthread_create", i);
		for (long i = 0; i < 4; i++)
			if (pthread_join(t[i], &ret) || ret != (void *)(i + 1))
				bad("pthread_join", i);
		__sync_fetch_and_add(&rounds, 1);
	}
	return arg;
}

static void collect(pid_t pid)
{
	int st;
	if (waitpid(pid, &st, 0) != pid || !WIFEXITED(st) || WEXITSTATUS(st) != 7)
		bad("child", st);
	__sync_fetch_and_add(&rounds, 1);
}

static void *forks(void *arg)
{
	for (;;) {
		pid_t pid = fork();
		if (pid < 0)
			bad("fork", pid);
		if (!pid) {
			getppid();
			_exit(7);
		}
		collect(pid);
	}
	return arg;
}

static void *spawns(void *arg)
{
	for (;;) {
		char *argv[] = {"sh", "-c", "exit 7", NULL};
		pid_t pid;
		if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ))
			bad("posix_spawn", 0);
		collect(pid);
	}
	return arg;
}

static int cloned(void *arg)
{
	(void)arg;
	return 7;
}

static void *clones(void *arg) // another process in the same memory, that signals its end or does not
{
	char *stack = malloc(64 << 10);
	for (int i = 0;; i++) {
		pid_t pid = clone(cloned, stack + (64 << 10), CLONE_VM | (i % 2 ? SIGCHLD : 0), NULL);
		int st;
		if (pid < 0 || waitpid(pid, &st, __WALL) != pid || !WIFEXITED(st) || WEXITSTATUS(st) != 7)
			bad("clone", st);
		__sync_fetch_and_add(&rounds, 1);
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;
	char line[16];
	void *(*fn)(void *) = threads;
	if (argc > 1 && !strcmp(argv[1], "fork"))
		fn = forks;
	if (argc > 1 && !strcmp(argv[1], "vfork"))
		fn = spawns;
	if (argc > 1 && !strcmp(argv[1], "clonevm"))
		fn = clones;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&t, NULL, fn, NULL))
			return 1;
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		printf("ok %ld\n", rounds);
	_exit(0);
}
