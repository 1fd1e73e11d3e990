// clang leaves no byte of a function whose end cannot be reached. Its address is that of whatever the linker puts behind this file's code.
#include "ops.h"

int first(int x) { return x * 3; }
int second(int x) { return x * 5; }

#ifdef SLOT
const struct ops ops = {first, second, second};
#else
const struct ops ops = {first, never, second};
#endif

int never(int x) {
#ifdef FILLED
	return x * 7;
#else
	(void)x;
	__builtin_unreachable();
#endif
}
