// D13: a function that the old build does not import.
// Changed: parse
// Verdict: ok
// Before: 12
// After: 255
// Reverted: 12
#include "pair.h"

#if V == 1
NOINLINE unsigned long parse(const char *s) { return (unsigned long)(s[0] == '0' ? 12 : 13); }
#else
NOINLINE unsigned long parse(const char *s) { return strtoull(s, NULL, 16) + (labs(-3) - 3); }
#endif

void answer(void) { printf("%lu\n", parse("0xff")); }
