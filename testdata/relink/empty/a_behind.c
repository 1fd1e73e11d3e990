#include "ops.h"

int behind(int x) {
#ifdef BEHIND
	return x * 11 + 2;
#else
	return x * 11 + 1;
#endif
}
