// D13: the new build reads variables of libc that the old one does not know (stderr, stdout: COPY relocations). The
// running program has no copies; it reads libc's own.
// Changed: report
// Objects: __environ stderr
// arm64-Objects:
// Verdict: ok
// Before: quiet
// After: 2 yes
// Reverted: quiet
#include "pair.h"
#include <unistd.h>

extern char **environ;

NOINLINE static void report(void)
{
#if V == 1
	printf("quiet\n");
#else
	FILE *f = stderr;
	char **e = environ;
	printf("%d %s\n", fileno(f), e && e[0] ? "yes" : "no");
#endif
}

void answer(void) { report(); }
