#include "program.h"

static long calls;

NOINLINE long rate(long x, long y) { return V == 2 ? x * 5 - y : x * 3 + y; }

NOINLINE const char *verdict(long x)
{
	calls++;
	return x > 40 ? "large" : V == 3 ? "little" : "small";
}

static inline long adjust(long x) { return (V == 4 ? x ^ 0x55 : x + 7) + (calls > 1000000); }

NOINLINE long first_rule(long x) { return adjust(x) * 2; }

NOINLINE long second_rule(long x)
{
	long sum = 0;

	for (long i = 0; i < x; i++)
		sum += adjust(i);
	return sum;
}

NOINLINE long operate(enum op op, long x, long y)
{
	switch (op) {
	case ADD: return x + y;
	case SUB: return x - y;
	case MUL: return x * y;
	case SHIFT: return x << (y & 7);
	case MIX: return rate(x, y) ^ 21;
	case ROTATE: return (x << 3) | (y >> 2);
	case SWAP: return V == 5 ? rate(y, x) + 1000 : rate(y, x);
	case CLAMP: return x > y ? y : x;
	}
	return -1;
}
