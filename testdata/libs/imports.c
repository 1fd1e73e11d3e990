// D13: a function that the old build does not import, of a library that is loaded; and one that the new build imports no more.
// Changed: parse
// Verdict: ok
// Before: 255
// After: 1234
// Reverted: 255
#include "lib.h"

#if V == 1
NOINLINE static long parse(const char *s) { return strtol(s, NULL, 16) + 0 * atoi(s); }
#else
NOINLINE static long parse(const char *s) { return (long)strtoull(getenv("HOTPATCH_NO_SUCH") ? s : "1234", NULL, 10); }
#endif

static const char *volatile text = "0xff";
EXPORT void answer(void) { printf("%ld\n", parse(text)); }
