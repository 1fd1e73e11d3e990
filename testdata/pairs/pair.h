// Every program of this directory is built twice, with -DV=1 and -DV=2. It prints "ready", and then answers
// every line of input with one line. The header comment of each says what is expected, in directives that
// internal/pairs reads:
//
//   Sources:   further files that are linked in
//   Flags:     further compiler flags
//   Changed:   functions that the diff reports as changed (likewise Added, Removed, Line)
//   Objects:   data objects that it reports
//   Types:     types, and variables with other types, that it reports
//   Verdict:   ok, nothing, refused TEXT, or ack ID...
//   Before:    the answer of the running old build
//   After:     the answer once the patch is applied
//   Reverted:  the answer once it is reverted
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) void answer(void);

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noipa))
#endif

int main(void)
{
	char line[256];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		answer();
	return 0;
}
