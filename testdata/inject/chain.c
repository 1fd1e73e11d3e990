// A program in four versions (-DV=1..4), for chains of patches. Every line of input is a command:
//   go       print what the functions give
//   hold     a second thread enters busy() and stays there
//   release  it leaves
//   spin N   N more threads call price() all the time and check what it gives
//   fork     a child takes over the input and the output; the parent waits for it
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

#if V == 1
static const char *const names[] = { "one", "two" };
#else
static const char *const names[] = { "uno", "dos" };
#endif

#if V >= 2
static long calls;
// Added in version 2, changed in version 3: its version 0 is in a payload.
NOINLINE long discount(long n)
{
	calls++;
#if V == 2
	return n + 100;
#else
	return n + 200 + calls * 1000;
#endif
}
#endif

NOINLINE long price(long n)
{
#if V == 1
	return n * 5;
#elif V == 2 || V == 3
	return discount(n * 5 + 2);
#else
	return discount(n * 7);
#endif
}

NOINLINE const char *name(int i) { return names[i]; }

static int gate[2];

NOINLINE long busy(long n)
{
	char c;
	if (read(gate[0], &c, 1) != 1)
		return -1;
#if V == 1
	return n + 1;
#else
	return n + 2;
#endif
}

static void *holder(void *arg)
{
	(void)arg;
	printf("busy %ld\n", busy(40));
	return NULL;
}

// Uses the stack, so that no return address into price() is left on it.
NOINLINE static void work(void)
{
	volatile char room[512];
	for (int n = 0; n < 20; n++)
		for (unsigned i = 0; i < sizeof room; i++)
			room[i] = (char)i;
}

static void *spinner(void *arg)
{
	for (;;) {
		long v = price(3);
		if (v < 15 || (v != 15 && v < 100))
			abort();
		work();
	}
	return arg;
}

static void command(char *line)
{
	pthread_t t;
	if (!strcmp(line, "go\n")) {
		printf("%ld %s\n", price(2), name(1));
	} else if (!strcmp(line, "hold\n")) {
		pthread_create(&t, NULL, holder, NULL);
		pthread_detach(t);
		puts("held");
	} else if (!strcmp(line, "release\n")) {
		if (write(gate[1], "x", 1) != 1)
			abort();
	} else if (!strncmp(line, "spin ", 5)) {
		for (int i = atoi(line + 5); i > 0; i--)
			pthread_create(&t, NULL, spinner, NULL);
		puts("spinning");
	} else if (!strcmp(line, "fork\n")) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid > 0) {
			int status;
			waitpid(pid, &status, 0);
			_exit(0);
		}
		printf("%d\n", getpid());
	}
}

int main(void)
{
	char line[256];
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (pipe(gate))
		return 1;
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		command(line);
	return 0;
}
