// D26: a function that only the old build has stays reachable through a pointer that was stored before.
// Changed: answer
// Removed: old_hook
// Added: new_hook
// Verdict: ack removed:old_hook
// Before: old hook
// After: old hook.
// Reverted: old hook
#include "pair.h"

static void (*volatile hook)(void);
#if V == 1
NOINLINE static void old_hook(void) { printf("old hook"); }
#define HOOK old_hook
#define END "\n"
#else
NOINLINE static void new_hook(void) { printf("new hook %d", atoi("1")); }
#define HOOK new_hook
#define END ".\n"
#endif

void answer(void)
{
	if (!hook)
		hook = HOOK;
	hook();
	printf(END);
}
