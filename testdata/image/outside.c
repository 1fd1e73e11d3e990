// Addresses outside of what the code means: an index counts from far behind a table.

static const long table[8] __attribute__((used)) = { 1, 2, 3, 4, 5, 6, 7, 8 };

#ifdef __aarch64__
#define ADDRESS(place) "adrp %0, " place "\n\tadd %0, %0, :lo12:" place
#else
#define ADDRESS(place) "lea " place "(%%rip), %0"
#endif

__attribute__((noinline)) long inside(long i)
{
	const char *base;

	__asm__(ADDRESS("table+8") : "=r"(base));
	return *(const long *)(base + i * 8);
}

__attribute__((noinline)) long behind(long i) // of -20 to -12
{
	const char *base;

	__asm__(ADDRESS("table+160") : "=r"(base));
	return *(const long *)(base + i * 8);
}

int main(int argc, char **argv)
{
	return inside(argc) + behind(-argc - 11) != 8;
}
