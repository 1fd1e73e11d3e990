// D13: the new build needs a library that is not loaded.
// Flags2: -lm
// Changed: name
// Verdict: ok
// Before: v1
// Apply: libm.so.6
#include "lib.h"

#if V == 1
NOINLINE static const char *name(void) { return "v1"; }
#else
double cbrt(double x);
static volatile double eight = 8;
NOINLINE static const char *name(void) { return cbrt(eight) > 1 ? "v2" : "v1"; }
#endif

EXPORT void answer(void) { puts(name()); }
