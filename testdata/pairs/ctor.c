// D11: a new constructor.
// Added: setup
// Objects: table
// Changed: answer
// Verdict: refused .init_array
#include "pair.h"

#if V == 2
static int table;
__attribute__((constructor)) static void setup(void) { table = atoi("5"); }
void answer(void) { printf("%d\n", table); }
#else
void answer(void) { printf("1\n"); }
#endif
