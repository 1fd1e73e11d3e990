// A program in two versions (V) of which every function but main differs, so that code of all sorts is carried: it says what its functions
// return and what they leave in its variables. What version 2 prints, a patched version 1 has to print.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

static int count;
static int table[10] = {1, 2, 3};
static int64_t wide[4] = {5, 6, 7, 8};
static char small[3] = "ab";
static double ratio = 0.75;
int shared = 4;
static __thread int per_thread;
__thread long counted_per_thread = 3;

struct pair {
	int16_t low;
	int64_t high;
};
static struct pair pairs[3] = {{1, 2}, {3, 4}, {5, 6}};

// Several objects by one section anchor.
NOINLINE int anchored(int x)
{
	count += x * V;
	table[x & 7]++;
	wide[1] += count;
	small[1] = 'b' + V;
	pairs[1].high -= x;
	pairs[2].low += V;
	return table[1] + count + (int)wide[1] + small[1] + (int)pairs[1].high + pairs[2].low + shared;
}

// A table of branches.
NOINLINE int switched(int x)
{
	switch (x) {
	case 0: return 5 * V;
	case 1: return anchored(1);
	case 2: return count + V;
	case 3: return shared - 1;
	case 4: return 99;
	case 5: return anchored(5) ^ V;
	case 6: return 17;
	case 9: return -V;
	}
	return V;
}

// Constants of vectors and numbers without a name.
NOINLINE double computed(double x) { return x * 3.14159265358979 + ratio / (V + 0.1); }

NOINLINE long threads(long x)
{
	per_thread += (int)x + V;
	counted_per_thread *= V + 1;
	return per_thread + counted_per_thread;
}

// Its failure is in a part of its own (.cold), which a conditional branch leads to.
NOINLINE int failing(int x)
{
	if (__builtin_expect(x < 0, 0)) {
		printf("negative: %d\n", x);
		abort();
	}
	return x / V;
}

#if V > 1
static int fresh = 40;
static NOINLINE int added(int x) { return fresh++ + x; }
#endif

NOINLINE const char *named(unsigned x)
{
	switch (x) {
#if V > 1
	case 0: return "nothing";
	case 3: return added((int)x) > 44 ? "many" : "some";
#else
	case 0: return "none";
#endif
	case 1: return "one";
	case 2: return "a few";
	}
	return V == 1 ? "number" : "figure";
}

NOINLINE int (*chosen(int x))(int) { return x == V ? switched : failing; }

NOINLINE size_t written(char *to, int x) { return (size_t)sprintf(to, V == 1 ? "<%d>" : "[%d|%s]", x, named((unsigned)x)); }

int main(void)
{
	char line[64];
	for (int i = 0; i < 11; i++) {
		size_t n = written(line, i);
		printf("%d: %d %d %.6f %ld %d %s %d %s %zu\n", i, anchored(i), switched(i), computed(i), threads(i), failing(i * 7), named((unsigned)i),
		       chosen(i)(i), line, n);
	}
	return 0;
}
