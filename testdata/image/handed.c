// Functions that get a pointer in the first argument, and functions that hand the address of table to them. See TestHanded.
#ifdef __clang__
#define KEPT __attribute__((noinline))
#else
#define KEPT __attribute__((noipa))
#endif

long table[16] = {1, 2, 3}, other[16] = {4};
volatile int wanted;
void (*hook)(long *);

KEPT long always(long *p) { return *p; }
KEPT long field(long *p, long n)
{
	p[2] = n;
	return n;
}
KEPT long ways(long *p, long n)
{
	if (n > wanted)
		return p[1] + n;
	wanted = n;
	p[1] = 3;
	return 5;
}
KEPT void retries(long *p, long n)
{
	long old = *p;

	while (!__atomic_compare_exchange_n(p, &old, old + n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}
KEPT long maybe(long *p, long n) { return n > 0 ? wanted + *p : n; }
KEPT void counted(long *p, long n)
{
	for (long i = 0; i < n; i++)
		p[i] += wanted;
}
KEPT void later(long *p)
{
	hook(0);
	*p = 1;
}
KEPT void waits(long *p)
{
	while (!wanted)
		;
	*p = 1;
}
KEPT long passes(long *p) { return always(p + 1) + wanted; }
KEPT long compares(long *p) { return p > other; }
KEPT long chased(long **p) { return **p; }

KEPT long calls(void) { return always(table) + wanted; }
KEPT long jumps(void) { return field(table, 7); }
KEPT long keeps(int n)
{
	long sum = 0;

	while (n-- > wanted)
		sum += ways(table, n);
	return sum;
}
KEPT void forwards(void) { retries(table, 2); }
KEPT long either(int n) { return always(n > wanted ? table : other) + 1; }
KEPT long doubtful(int n) { return maybe(table, n) + 1; }
KEPT long passed(void) { return passes(table) + 1; }
KEPT void unknown(void) { hook(table); }

int main(void) { return 0; }
