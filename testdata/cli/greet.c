/* A program with one function to patch, driven by lines on its standard input:
 *
 *   call   greet(1): prints "greet N" (N is VERSION + 1)
 *   hold   enters greet(0), prints "held" from within, and stays until the next line
 *   pid    prints its process id
 *
 * Expected: greet is the only changed function between any two versions; while it is held it
 * is active, and nothing may be changed. VERSION=9 also has a thread-local variable that
 * VERSION=1 lacks: refused.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

#if VERSION == 9
__thread int last;
#endif

static char line[256];

static int next(void)
{
	return fgets(line, sizeof line, stdin) != NULL;
}

__attribute__((noinline)) int greet(int x)
{
	if (x == 0) {
		puts("held");
		next();
	}
#if VERSION == 9
	last = x;
#endif
	return x + VERSION;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (next()) {
		if (!strcmp(line, "call\n"))
			printf("greet %d\n", greet(1));
		else if (!strcmp(line, "hold\n"))
			printf("left %d\n", greet(0));
		else if (!strcmp(line, "pid\n"))
			printf("pid %d\n", (int)getpid());
	}
	return 0;
}
