// A program that needs nothing but a C library, in two versions (-DV=1..2). usage: plain [THREADS]
// "go" prints what answer() gives; THREADS more threads wait for ever.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(PAD) && defined(__aarch64__) // moves the end of the text, so that a static program has room behind it
const char pad[PAD] __attribute__((used)) = "pad";
#endif

__attribute__((noinline, noclone)) int answer(int n)
{
#if V == 1
	return n + 1000000;
#else
	return n * 2 + 2000000;
#endif
}

static void *waits(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	char line[64];
	pthread_t t;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int n = argc > 1 ? atoi(argv[1]) : 0; n > 0; n--)
		if (pthread_create(&t, NULL, waits, NULL))
			return 1;
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		printf("%d\n", answer(atoi(line)));
	_exit(0);
}
