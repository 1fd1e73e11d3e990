// Sends itself queued real-time signals that carry a number, from another process and between threads, and
// counts them in handlers. Expected: at "sum" the senders pause, and it prints "ok COUNT": as many came as went,
// each in order, each with its number, and no epoll_wait of another thread gave EINTR.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

static struct { volatile long sent[2], got[2]; volatile int pause, paused; } *sh;
static volatile long wrong, eintr;

static void handler(int sig, siginfo_t *si, void *ctx)
{
	int i = sig - SIGRTMIN;
	(void)ctx;
	if (si->si_code != SI_QUEUE || si->si_value.sival_int != (int)sh->got[i])
		wrong++;
	sh->got[i]++;
}

static void *idle(void *arg) // has both signals blocked, and no handler to wake it
{
	struct epoll_event ev;
	int fd = epoll_create1(0);
	for (;;)
		if (epoll_wait(fd, &ev, 1, -1) < 0)
			eintr++;
	return arg;
}

enum { DEPTH = 65 }; // signals that wait at most for each handler

// drain waits until all signals have been handled. A traced signal may take longer than its sender: without an end of them the receiver would go from
// handler to handler, and never come to read its orders.
static void drain(pid_t to)
{
	while ((sh->sent[0] != sh->got[0] || sh->sent[1] != sh->got[1]) && getppid() == to)
		usleep(20);
}

static void sender(pid_t to)
{
	for (;;) {
		if (getppid() != to)
			_exit(0);
		if (sh->pause) {
			sh->paused = 1;
			usleep(200);
			continue;
		}
		sh->paused = 0;
		for (int i = 0; i < 2; i++) {
			if (sh->sent[i] - sh->got[i] >= DEPTH) // the queue is the user's, and bounded
				drain(to);
			union sigval v = {.sival_int = (int)sh->sent[i]};
			if (!sigqueue(to, SIGRTMIN + i, v))
				sh->sent[i]++;
			else if (errno != EAGAIN)
				_exit(0);
		}
		usleep(20);
	}
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	pthread_t t;
	sigset_t rt;
	char line[16];
	setvbuf(stdout, NULL, _IOLBF, 0);
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN);
	sigaddset(&rt, SIGRTMIN + 1);
	sa.sa_mask = rt;
	sigaction(SIGRTMIN, &sa, NULL);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	sigprocmask(SIG_BLOCK, &rt, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, idle, NULL);
	sigprocmask(SIG_UNBLOCK, &rt, NULL);
	pid_t self = getpid();
	if (!fork())
		sender(self);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		sh->pause = 1;
		while (!sh->paused)
			usleep(100);
		long got = -1; // no signal for a second: they are lost
		for (int i = 0; i < 10000 && (sh->got[0] != sh->sent[0] || sh->got[1] != sh->sent[1]); i++) {
			if (got != sh->got[0] + sh->got[1])
				got = sh->got[0] + sh->got[1], i = 0;
			usleep(100);
		}
		if (sh->got[0] != sh->sent[0] || sh->got[1] != sh->sent[1] || wrong || eintr)
			printf("FAIL sent %ld %ld got %ld %ld wrong %ld eintr %ld\n", sh->sent[0], sh->sent[1], sh->got[0],
			       sh->got[1], wrong, eintr);
		else
			printf("ok %ld\n", sh->got[0] + sh->got[1]);
		sh->paused = sh->pause = 0;
	}
	_exit(0);
}
