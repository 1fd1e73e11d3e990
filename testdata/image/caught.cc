// An array of which a function puts the address into a register, calls what may throw, and writes to it only where the exception is caught.
extern "C" {
static long table[4] = {1, 2, 3, 4};

__attribute__((noinline)) void thrower(long n)
{
	if (n > 2)
		throw n;
}

__attribute__((noinline)) long written(long n)
{
	long *p = table;

	__asm__("" : "+r"(p));
	try {
		thrower(n);
	} catch (long) {
		p[1] = n;
	}
	return n;
}

__attribute__((noinline)) long reads(long n)
{
	long *p = table;

	__asm__("" : "+r"(p));
	try {
		thrower(n);
	} catch (long) {
		return p[1];
	}
	return n;
}
}

int main(int argc, char **) { return written(argc) + reads(argc); }
