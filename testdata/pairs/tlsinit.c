// D9, D12: the initial value of a thread-local variable changes. The thread that runs keeps its own; a thread that starts later has the new one.
// Flags: -pthread
// Objects: level
// Verdict: ok
// Before: 4 4
// After: 5 31
// Reverted: 6 4
#include <pthread.h>
#include "pair.h"

static __thread volatile int level = V == 1 ? 3 : 30;

static void *fresh(void *arg)
{
	*(int *)arg = ++level;
	return NULL;
}

void answer(void)
{
	pthread_t t;
	int other = 0;

	pthread_create(&t, NULL, fresh, &other);
	pthread_join(t, NULL);
	printf("%d %d\n", ++level, other);
}
