// D13: the new build needs a library that is not loaded.
// Flags2: -lcrypt
// Changed: name
// Verdict: ok
// Before: v1
// Apply: libcrypt
#include "lib.h"

#if V == 1
NOINLINE static const char *name(void) { return "v1"; }
#else
char *crypt(const char *key, const char *salt);
NOINLINE static const char *name(void) { return crypt("a", "ab"); }
#endif

EXPORT void answer(void) { puts(name()); }
