// A program in four versions (-DV=1..4), for chains of patches. Every line of input is a command:
//   go       print what the functions give
//   hold     a second thread enters busy() and stays there
//   release  it leaves
//   spin N   N more threads call price() all the time and check what it gives
//   park N   N more threads wait for ever
//   fork     a child takes over the input and the output; the parent waits for it
//   nofd     no descriptor can be opened any more
//   noas     no memory can be mapped any more
//   mdwe     memory that was not executable when it was mapped can never become so
//   int3     a breakpoint is written at the entry of price()
//   anon     the text becomes anonymous memory with the same content
//   shared   the text becomes a shared mapping of the file
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

static void *parked(void *arg)
{
	for (;;)
		pause();
	return arg;
}

// Replaces the mapping that holds this function.
static int remap(int shared)
{
	char line[512], perm[8];
	unsigned long lo, hi, off, here = (unsigned long)remap;
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "%lx-%lx %7s %lx", &lo, &hi, perm, &off) == 4 && lo <= here && here < hi)
			break;
	fclose(f);
	if (shared) {
		int fd = open("/proc/self/exe", O_RDONLY);
		return mmap((void *)lo, hi - lo, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, off) == MAP_FAILED;
	}
	char *copy = mmap(0, hi - lo, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(copy, (void *)lo, hi - lo);
	return mprotect(copy, hi - lo, PROT_READ | PROT_EXEC) ||
		mremap(copy, hi - lo, hi - lo, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)lo) == MAP_FAILED;
}

static int breakpoint(void)
{
	unsigned long page = (unsigned long)price & ~4095ul;
	if (mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 1;
	*(char *)price = (char)0xcc; // on arm64, another instruction
	return mprotect((void *)page, 4096, PROT_READ | PROT_EXEC);
}

static int condition(const char *line)
{
	if (!strcmp(line, "nofd\n"))
		return setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, 0 });
	if (!strcmp(line, "noas\n"))
		return setrlimit(RLIMIT_AS, &(struct rlimit){ 0, 0 });
	if (!strcmp(line, "mdwe\n"))
		return prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0);
	if (!strcmp(line, "int3\n"))
		return breakpoint();
	if (!strcmp(line, "anon\n"))
		return remap(0);
	if (!strcmp(line, "shared\n"))
		return remap(1);
	return -1;
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
	} else if (!strncmp(line, "park ", 5)) {
		for (int i = atoi(line + 5); i > 0; i--)
			pthread_create(&t, NULL, parked, NULL);
		puts("parked");
	} else if (!strcmp(line, "fork\n")) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid > 0) {
			int status;
			waitpid(pid, &status, 0);
			_exit(0);
		}
		printf("%d\n", getpid());
	} else {
		puts(condition(line) ? "failed" : "ok");
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
