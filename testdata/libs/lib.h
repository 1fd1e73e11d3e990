// Every library of this directory is built twice, with -DV=1 and -DV=2, and loaded by loader.c. Its function answer prints one
// line. The directives in the headers are those of ../pairs/pair.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default"), noinline))
#define HIDDEN __attribute__((visibility("hidden"), noinline))
#define PROTECTED __attribute__((visibility("protected"), noinline))
#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noipa))
#endif

EXPORT void answer(void);
