// Signal frames for the unwinder's single-step test (see calls.c): handlers on the thread's own stack and
// on an alternate one, nested, raised by a system call and by a faulting instruction, and one in
// the midst of the replaced function.
//
// Expected output: signals <number>.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile int count;
static char *volatile page;
volatile int sink;

NOINLINE int callee(int x)
{
	char buf[48];
	memset(buf, x, sizeof buf);
	sink = buf[x & 15];
	return sink + 1;
}

// Faults in its midst, and is called from handlers as well.
NOINLINE int replaced(int x)
{
	int r = callee(x);
	if (x == 2)
		*page = 1;
	return r + callee(r & 3);
}

static void plain(int sig)
{
	count += sig + replaced(1);
}

// Raises another signal from the handler.
static void nested(int sig)
{
	count += sig + callee(3);
	raise(SIGUSR1);
}

static void fault(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	count += sig + callee(1);
	if (mprotect((void *)((unsigned long)si->si_addr & ~4095UL), 4096, PROT_READ | PROT_WRITE))
		_exit(2);
}

// Leaves a red zone in use while it is interrupted.
NOINLINE int leaf(char *volatile *p, int n)
{
	int a[8];
	for (int i = 0; i < 8; i++)
		a[i] = n * i;
	**p = 3;
	return a[n & 7] + a[1];
}

static void install(int sig, void (*h)(int), int flags)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = h;
	sa.sa_flags = flags;
	sigaction(sig, &sa, NULL);
}

int main(void)
{
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = fault;
	sa.sa_flags = SA_SIGINFO | SA_NODEFER;
	sigaction(SIGSEGV, &sa, NULL);
	install(SIGUSR1, plain, 0);
	install(SIGUSR2, nested, 0);
	raise(SIGUSR1);
	raise(SIGUSR2);
	replaced(2); // faults once
	mprotect(page, 4096, PROT_NONE);
	count += leaf(&page, 3);

	// The same on an alternate stack; the second signal nests on it.
	static char alt[65536];
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
	sigaltstack(&ss, NULL);
	sa.sa_flags |= SA_ONSTACK;
	sigaction(SIGSEGV, &sa, NULL);
	install(SIGUSR2, nested, SA_ONSTACK);
	mprotect(page, 4096, PROT_NONE);
	replaced(2);
	raise(SIGUSR2);
	mprotect(page, 4096, PROT_NONE);
	count += leaf(&page, 2);
	printf("signals %d\n", count);
	return 0;
}
