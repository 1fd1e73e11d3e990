// Every program of this directory is built twice, with -DV=1 and -DV=2. It prints "ready", and then answers
// every line of input with one line. The header comment of each says what is expected, in directives that
// internal/pairs reads:
//
//   Sources:   further files that are linked in
//   arm64-KEY: the same of KEY for that target, in place of what holds for others; likewise amd64-KEY
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

// ADDRESS is the assembly that puts the address of a place into a register, VALUE that which loads the word there.
#ifdef __aarch64__
#define ADDRESS(reg, place) "adrp " reg ", " place "\n\tadd " reg ", " reg ", :lo12:" place "\n\t"
#define VALUE(reg, place) "adrp " reg ", " place "\n\tldr " reg ", [" reg ", :lo12:" place "]\n\t"
#else
#define ADDRESS(reg, place) "lea " place "(%%rip), " reg "\n\t"
#define VALUE(reg, place) "mov " place "(%%rip), " reg "\n\t"
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
