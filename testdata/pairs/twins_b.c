// The second file of twins.c.
#define NOINLINE __attribute__((noipa))

typedef int handler(void);

static int state = 100;
NOINLINE static int twin(void) { return state; }
static handler *volatile stored;

NOINLINE static int pick(int step)
{
#if V == 1
	state += step;
#else
	state += step + 10;
#endif
	return stored();
}

int use_b(int step)
{
	if (!stored)
		stored = twin;
	return pick(step);
}
