// Threads that block in one call or spin, and check that nobody disturbs them.
// usage: threads BLOCKED SPINNING; "quit" or end of input ends it.
// The threads only count; main prints "ok SPINS" at "sum".
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#if defined(PAD) && defined(__aarch64__) // moves the end of the text, so that a static program has room behind it
#define STRING(x) #x
#define SKIP(n) __asm__(".text\n.skip " STRING(n))
SKIP(PAD);
#endif

static volatile uint64_t spins[4096];
static int efd;

static void *blocked(void *arg)
{
	uint64_t v;
	(void)arg;
	if (read(efd, &v, sizeof v) != sizeof v)
		abort();
	return NULL;
}

static void *spinning(void *arg)
{
	volatile uint64_t *n = arg;
	for (;;)
		++*n;
}

int main(int argc, char **argv)
{
	int nb = argc > 1 ? atoi(argv[1]) : 0, ns = argc > 2 ? atoi(argv[2]) : 0;
	pthread_t t;
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 64 << 10);
	efd = eventfd(0, 0);
	for (int i = 0; i < nb; i++)
		if (pthread_create(&t, &a, blocked, NULL))
			abort();
	for (int i = 0; i < ns; i++)
		if (pthread_create(&t, &a, spinning, (void *)&spins[i * 8]))
			abort();
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	char line[64];
	while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n")) {
		uint64_t sum = 0;
		for (int i = 0; i < ns; i++)
			sum += spins[i * 8];
		printf("ok %llu\n", (unsigned long long)sum);
	}
	_exit(0);
}
