// One thread in one system call that blocks, and a handler of SIGUSR1. usage: handled CALL restart|end
// "tid" prints "ok TID". "sum" prints "ok HANDLED DONE RESULT ERRNO LEFT": how often the handler ran, whether the call has returned, with
// what, and how much of a sleep it says is left (ms). "wake" lets a call that waits for something return.
// Expected: the call ends as signal(7) says of a handler with SA_RESTART (restart) or without (end).
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int pipes[2], epfd;
static volatile int word, handled, tid, done, result, error;
static struct timespec left;
static const char *name;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static long call(void)
{
	char c;
	struct epoll_event ev;
	struct pollfd pf = {pipes[0], POLLIN, 0};
	if (!strcmp(name, "read"))
		return read(pipes[0], &c, 1);
	if (!strcmp(name, "futex"))
		return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
	if (!strcmp(name, "futex_timed"))
		return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &(struct timespec){3600, 0}, NULL, 0);
	if (!strcmp(name, "epoll_wait"))
		return epoll_wait(epfd, &ev, 1, -1);
	if (!strcmp(name, "ppoll"))
		return ppoll(&pf, 1, NULL, NULL);
	return nanosleep(&(struct timespec){3600, 0}, &left);
}

static void *run(void *arg)
{
	tid = gettid();
	long got = call();
	error = got < 0 ? errno : 0;
	result = got;
	done = 1;
	pause();
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;
	char line[16];
	if (argc != 3 || pipe(pipes))
		return 1;
	name = argv[1];
	epfd = epoll_create1(0);
	epoll_ctl(epfd, EPOLL_CTL_ADD, pipes[0], &(struct epoll_event){.events = EPOLLIN});
	struct sigaction sa = {.sa_handler = handler, .sa_flags = strcmp(argv[2], "restart") ? 0 : SA_RESTART};
	sigaction(SIGUSR1, &sa, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pthread_create(&t, NULL, run, NULL))
		return 1;
	while (!tid)
		usleep(100);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "tid\n"))
			printf("ok %d\n", tid);
		if (!strcmp(line, "wake\n")) {
			word = 1;
			syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
			printf("ok %zd\n", write(pipes[1], "x", 1));
		}
		if (!strcmp(line, "sum\n"))
			printf("ok %d %d %d %d %ld\n", handled, done, result, error, left.tv_sec * 1000l + left.tv_nsec / 1000000);
	}
	return 0;
}
