// Ways of calling that C compilers have, for the unwinder's single-step test: the program
// runs to its end under PTRACE_SINGLESTEP, and at every instruction the walked stack must
// equal the one kept by counting calls and returns.
//
// "replaced" is the function that counts as replaced in the activeness check, "callee" one
// that it calls. Expected output: calls <number>, the same at every optimisation level.
#include <alloca.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile int sink;

NOINLINE int callee(int x)
{
	char buf[64];
	memset(buf, 'a', 63);
	buf[x & 31] = 0;
	return (int)strlen(buf);
}

// Falls into callee as a tail call where the compiler makes them.
NOINLINE int tail(int x)
{
	sink = x;
	return callee(x + 1);
}

// Jumps to computed labels, which compilers do not turn into branches. With retpolines the
// jump is a thunk's, outside of the function.
NOINLINE int replaced(int x)
{
	static void *const label[] = {&&even, &&odd, &&done};
	int r = callee(x);
	goto *label[x & 1];
odd:
	r += tail(x);
even:
	r += x;
	goto *label[2 - (r & x & 0)];
done:
	return r;
}

// The call of replaced is its last act: a frameless jump at -O2.
NOINLINE int through(int x)
{
	return replaced(x);
}

NOINLINE int fib(int n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

// Frames of varying size, above and below the red zone.
NOINLINE int vary(int n)
{
	char *p = alloca((size_t)n * 24 + 1);
	memset(p, n, (size_t)n * 24 + 1);
	int vla[n + 1];
	for (int i = 0; i <= n; i++)
		vla[i] = p[i] + i;
	return vla[n] + replaced(n) + (n > 0 ? vary(n - 1) : 0);
}

// A stack pointer aligned beyond the ABI: the CFA is then found through another register.
NOINLINE int aligned(int n)
{
	char buf[128] __attribute__((aligned(64)));
	memset(buf, n, sizeof buf);
	sink = buf[n & 127];
	return sink + callee(n);
}

// More arguments than registers, pushed around a call.
NOINLINE int many(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j)
{
	return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9 + j * 10 + callee(j);
}

NOINLINE int sum(int n, ...)
{
	va_list ap;
	int s = 0;
	va_start(ap, n);
	while (n-- > 0)
		s += va_arg(ap, int);
	va_end(ap);
	return s;
}

// An early exit in front of the frame (shrink wrapping).
NOINLINE int wrapped(int n)
{
	if (n < 3)
		return n;
	char buf[16];
	int s = snprintf(buf, sizeof buf, "%d", n);
	for (int i = 0; i < n; i++)
		s += callee(i) * (s & 3);
	return s;
}

struct big {
	long v[6];
};

NOINLINE struct big make(int n)
{
	struct big b;
	for (int i = 0; i < 6; i++)
		b.v[i] = callee(n + i);
	return b;
}

NOINLINE int dispatch(int k, int n)
{
	switch (k) {
	case 0:
		return callee(n);
	case 1:
		return tail(n) + 1;
	case 2:
		return replaced(n) + 2;
	case 3:
		return many(1, 2, 3, 4, 5, 6, 7, 8, 9, n);
	case 4:
		return sum(4, n, 2, 3, 4);
	case 5:
		return fib(n & 7);
	default:
		return through(n);
	}
}

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return x < y ? -1 : x > y ? replaced(1) > 0 : 0;
}

int (*volatile pointer)(int) = through;

int main(void)
{
	long r = 0;
	r += fib(4);
	r += vary(2);
	r += aligned(3);
	r += wrapped(2) + wrapped(4);
	r += make(2).v[5];
	for (int i = 0; i < 8; i++)
		r += dispatch(i, i + 2);
	int a[5] = {5, 3, 9, 1, 7};
	qsort(a, 5, sizeof a[0], compare);
	r += a[3] + pointer(5);
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts); // through the vDSO
	r += ts.tv_sec < 0;
	char *s = strdup("x");
	r += s[0];
	free(s);
	printf("calls %ld\n", r);
	return 0;
}
