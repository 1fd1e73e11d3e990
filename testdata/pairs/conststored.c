// D8: the address of a constant that changes is stored in a variable.
// Objects: word
// Verdict: ack const:word
// Before: red
// After: tan
// Reverted: red
#include "pair.h"

#if V == 1
static const char word[] = "red";
#else
static const char word[] = "tan";
#endif
static const char *volatile current = word;

void answer(void) { puts((const char *)current); }
