// A program without libraries, small enough to be a seed for fuzzing.
static int state[4];
__thread int own;
const char *names[] = { "zero", "one" };

int step(int x)
{
	switch (x) {
	case 0: return state[1];
	case 1: return ++state[2];
	case 2: return own++;
	case 3: return names[x & 1][0];
	case 4: return x * state[3];
	}
	return step(x - 1);
}

void _start(void)
{
	step(3);
	for (;;)
		;
}
