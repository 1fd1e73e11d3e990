// A program in three versions (-DV=1..3) whose functions begin in every way that a gate has to deal with. Each version passes its
// arguments in another way, so that a caller of one version and a callee of another abort. Every line of input is a command:
//   go       call everything, print the version of each function: one digit for each, and what could not be gated
//   spin     one more thread calls everything all the time; its thread ID is printed
//   release  a thread that handles SIGUSR1 returns from the handler; until then it stays there
//   fork     a child takes over the input and the output; the parent waits for it
//   parent   the parent calls everything as well and prints its digits, then the child goes on
// With -DFIXED there are functions that cannot be gated: one that loops back to its entry, one that begins with a call. -DW=N makes them those
// of version N.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

static long counters[4] = { 5, 6, 7, 8 };
static volatile long zero;

// What one version passes another does not understand.
#if V == 1
#define PASS(x) 0x1000 + (x), 'a'
#define TAKE(a, b) ((b) == 'a' && (a) >= 0x1000 && (a) < 0x2000 ? (a)-0x1000 : wrong())
#elif V == 2
#define PASS(x) 'b', 0x2000 + (x)
#define TAKE(a, b) ((a) == 'b' && (b) >= 0x2000 && (b) < 0x3000 ? (b)-0x2000 : wrong())
#else
#define PASS(x) 0x3000 + (x), 'c' + (x)
#define TAKE(a, b) ((a) >= 0x3000 && (a) < 0x4000 && (b) == 'c' + (a)-0x3000 ? (a)-0x3000 : wrong())
#endif

NOINLINE static long wrong(void)
{
	fputs("a mixture of versions\n", stderr);
	abort();
}

// A prologue that saves registers.
NOINLINE static long pushes(long a, long b)
{
	long x = TAKE(a, b), sum = V;
	for (long i = 0; i < x; i++)
		sum += counters[i & 3] * (i + zero);
	return x ? (sum > 0 ? V : 0) : V;
}

// The first instruction is relative to the program counter.
NOINLINE static long relative(void) { return counters[1] * 0 + V + zero; }

// The second instruction is a short branch.
NOINLINE static long shortly(const long *p)
{
	if (!p)
		return V;
	return *p * zero + V;
}

NOINLINE static long branches(const char *s, long a, long b)
{
	if (!s)
		return V;
	return pushes(PASS(TAKE(a, b))) + (s[0] - 'x');
}

// A jump, which is all there is.
NOINLINE __attribute__((optimize("optimize-sibling-calls"))) static long jumps(long a, long b)
{
#if V == 1
	return pushes(a, b);
#else
	return branches("x", a, b);
#endif
}

// One byte, in the first version.
static volatile long seen;
NOINLINE static void empty(void)
{
#if V > 1
	seen = V;
#endif
}

// A switch: a comparison and a branch to far away.
NOINLINE static long selects(int n, long a, long b)
{
	switch (n) {
	case 0: return TAKE(a, b) + V;
	case 1: return counters[0] + V;
	case 2: return counters[1] * 3 + V;
	case 3: return counters[2] - V;
	case 4: return counters[3] ^ V;
	case 5: return counters[1] << V;
	}
	return -1;
}

#ifndef W
#define W V
#endif

#ifdef FIXED
// Loops back to its entry.
NOINLINE static long loops(long n)
{
	do
		n = n * 3 + W;
	while (n < 1000);
	return W;
}

NOINLINE static long nothing(void) { return zero; }

// Begins with a call.
NOINLINE static long calls(void) { return nothing() + W; }
#endif

// all calls every function and returns the versions as a decimal number.
NOINLINE static long all(void)
{
	long v = pushes(PASS(3));
	v = v * 10 + relative();
	v = v * 10 + shortly(NULL);
	v = v * 10 + shortly(counters);
	v = v * 10 + branches(NULL, 0, 0);
	v = v * 10 + branches("x", PASS(2));
	v = v * 10 + jumps(PASS(4));
	long saw = 0;
	for (int i = 0; i < 4 && saw != V; i++) { // another thread may put its 1 there in between
		seen = 1;
		empty();
		saw = seen;
	}
	v = v * 10 + saw;
	v = v * 10 + selects(0, PASS(0));
	return v;
}

static int hold[2];

static void handler(int sig)
{
	char c;
	if (read(hold[0], &c, 1) != 1)
		_exit(sig);
}

static void *spinner(void *arg)
{
	printf("%d\n", gettid());
	for (;;) {
		long v = all();
		if (v % 111111111)
			abort();
		usleep(50);
	}
	return arg;
}

static void report(const char *who)
{
	long v = 0;
	for (int i = 0; i < 1000; i++) {
		v = all();
		if (v % 111111111)
			break;
	}
	printf("%s%ld", who, v);
#ifdef FIXED
	printf(" %ld%ld", loops(1), calls());
#endif
	putchar('\n');
}

static int up[2], down[2];

// In the parent: reports for as long as the child asks for it.
static void parent(pid_t child)
{
	char c;
	int status;
	close(up[1]);
	while (read(up[0], &c, 1) == 1) {
		report("parent ");
		fflush(stdout);
		if (write(down[1], "x", 1) != 1)
			break;
	}
	waitpid(child, &status, 0);
	_exit(0);
}

int main(void)
{
	char line[256], c;
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (pipe(up) || pipe(down) || pipe(hold) || signal(SIGUSR1, handler) == SIG_ERR)
		return 1;
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		if (!strcmp(line, "go\n")) {
			report("");
		} else if (!strcmp(line, "spin\n")) {
			pthread_create(&t, NULL, spinner, NULL);
		} else if (!strcmp(line, "release\n")) {
			if (write(hold[1], "x", 1) == 1)
				puts("released");
		} else if (!strcmp(line, "fork\n")) {
			pid_t pid = fork();
			if (pid > 0)
				parent(pid);
			printf("%d\n", getpid());
		} else if (!strcmp(line, "parent\n")) {
			if (write(up[1], "x", 1) != 1 || read(down[0], &c, 1) != 1)
				return 1;
		}
	}
	return 0;
}
