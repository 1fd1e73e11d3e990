// A program whose frames are not where one looks first, in two versions (-DV=1, 2). The argument says which thread reads
// the commands: main, or thread, whose stack lies in the middle of one mapping. Every line of input is a command, and
// the stacks of contexts are malloc, static, below or above (in the mapping of the thread's stack):
//   outer STACK  f() changes to another stack, where the next line is waited for; then prints what f() gives
//   inner STACK  f() is called on another stack, is left in the middle, and the next line is waited for; then the same
//   on STACK     the next line is waited for on another stack, outside of f(); then prints "back"
//   alternate    the same in the handler of a signal, on an alternate stack; f() when the signal came
//   beside       the same, but f() has returned before
//   fork         a child of the thread prints its number, waits for the next line and prints "child"; then "back"
//   jump         f() fills a jmp_buf and waits for the next line; then prints what f() gives, with the buffer still filled
//   loop         a thread runs a function whose loop begins at its first instruction; a signal interrupts it there, and
//                the handler waits for the next line; then prints what the function gives
// With -DONLYF only f() changes.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))
#define STACK (256 << 10)

static char *area; // STACK bytes for a context, four times that for the thread, STACK for a context
static char fixed[STACK] __attribute__((aligned(64)));
static ucontext_t own, other;
static void (*volatile hook)(void);
static volatile long result;

NOINLINE static void wait_line(void)
{
	char line[64];
	if (!fgets(line, sizeof line, stdin))
		exit(0);
}

NOINLINE long f(long n)
{
	hook();
	return n + 100 * V;
}

static void there(void) { swapcontext(&own, &other); }
static void back(void) { swapcontext(&other, &own); }

static void waits(void)
{
	puts("waiting");
	wait_line();
	back();
}

static void calls(void)
{
	result = f(1);
	back();
}

static void *stack(const char *kind)
{
	if (!strcmp(kind, "malloc"))
		return malloc(STACK / 4);
	if (!strcmp(kind, "static"))
		return fixed;
	return !strcmp(kind, "below") ? area : area + 5 * STACK;
}

static void context(const char *kind, void (*fn)(void))
{
	getcontext(&other);
	other.uc_stack.ss_sp = stack(kind);
	other.uc_stack.ss_size = STACK / 4;
	other.uc_link = &own;
	makecontext(&other, fn, 0);
}

// Nothing but the loop, which begins at the entry.
NOINLINE long drain(volatile long *go)
{
	while (!*go)
		;
#ifdef ONLYF
	return 10;
#else
	return 10 * V;
#endif
}

static volatile long go, caught;

static void *drainer(void *arg)
{
	printf("drained %ld\n", drain(arg));
	return NULL;
}

#ifdef __aarch64__
#define PC(uc) ((uc)->uc_mcontext.pc)
#else
#define PC(uc) ((uintptr_t)(uc)->uc_mcontext.gregs[REG_RIP])
#endif

static void handler(int sig, siginfo_t *info, void *uc)
{
	(void)sig, (void)info;
	if (PC((ucontext_t *)uc) != (uintptr_t)drain || caught)
		return;
	caught = 1;
	puts("waiting");
	wait_line();
}

static void loop(void)
{
	pthread_t t;
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &sa, NULL);
	go = caught = 0;
	pthread_create(&t, NULL, drainer, (void *)&go);
	while (!caught) {
		pthread_kill(t, SIGUSR1);
		usleep(100);
	}
	usleep(1000);
	go = 1;
	pthread_join(t, NULL);
}

static void inside(int sig)
{
	(void)sig;
	puts("waiting");
	wait_line();
}

static void raises(void) { raise(SIGUSR2); }
static void nothing(void) {}

// A handler on an alternate stack, in f() or beside it.
static void alternate(void (*in)(void), void (*beside)(void))
{
	stack_t ss = { .ss_sp = malloc(STACK), .ss_size = STACK };
	struct sigaction sa = { .sa_handler = inside, .sa_flags = SA_ONSTACK };
	sigaltstack(&ss, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	hook = in;
	long n = f(1);
	beside();
	printf("%ld\n", n);
}

static void forks(void)
{
	pid_t p = fork();
	if (p == 0) {
		printf("%d\n", (int)getpid());
		wait_line();
		puts("child");
		_exit(0);
	}
	waitpid(p, NULL, 0);
}

static jmp_buf held;

static void fills(void)
{
	if (setjmp(held) == 0)
		inside(0);
}

static void *commands(void *arg)
{
	char line[64];
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		*strchr(line, '\n') = 0;
		if (!strncmp(line, "outer ", 6)) {
			context(line + 6, waits);
			hook = there;
			printf("%ld\n", f(1));
		} else if (!strncmp(line, "inner ", 6)) {
			context(line + 6, calls);
			hook = back;
			there();
			puts("waiting");
			wait_line();
			there();
			printf("%ld\n", result);
		} else if (!strncmp(line, "on ", 3)) {
			context(line + 3, waits);
			there();
			puts("back");
		} else if (!strcmp(line, "alternate")) {
			alternate(raises, nothing);
		} else if (!strcmp(line, "beside")) {
			alternate(nothing, raises);
		} else if (!strcmp(line, "fork")) {
			forks();
			puts("back");
		} else if (!strcmp(line, "jump")) {
			hook = fills;
			printf("%ld\n", f(1));
		} else if (!strcmp(line, "loop")) {
			loop();
		}
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	area = mmap(NULL, 6 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (argc > 1 && !strcmp(argv[1], "thread")) {
		pthread_attr_init(&attr);
		pthread_attr_setstack(&attr, area + STACK, 4 * STACK);
		if (pthread_create(&t, &attr, commands, NULL))
			return 1;
		pthread_join(t, NULL);
	} else {
		commands(NULL);
	}
	return 0;
}
