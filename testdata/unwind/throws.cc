// Exceptions for the unwinder's single-step test (see calls.c): one that passes through functions and a destructor into the handler of the
// replaced function, and one that passes through that. While it is on its way, only the C++ runtime knows where it will land.
//
// Expected output: throws <number>.
#include <cstdio>

#define NOINLINE __attribute__((noinline))

volatile int sink;

struct count {
	NOINLINE ~count() { sink = sink + 1; }
};

NOINLINE int thrower(int x)
{
	if (x & 1)
		throw x;
	return x;
}

NOINLINE int through(int x)
{
	count c;
	return thrower(x) + 1;
}

extern "C" NOINLINE int replaced(int x)
{
	try {
		return through(x) + sink;
	} catch (int e) {
		if (e > 1)
			throw;
		return e * 2 + sink;
	}
}

int main()
{
	int r = replaced(2) + replaced(1);
	try {
		r += replaced(3);
	} catch (int e) {
		r += e;
	}
	std::printf("throws %d\n", r);
	return 0;
}
