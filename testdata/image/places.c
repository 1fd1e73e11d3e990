// What an image can refer to, one kind of reference a function. The tests of elfdiff/image hold
// the references that they find against the linker's relocations (-Wl,--emit-relocs).
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

struct node {
	const char *name;
	int (*fn)(int);
	struct node *next;
	long pad[4];
};

int counter;
static int table[100];
static struct node head;
char text[16] = "initial";
long arr[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
long after_arr = 9;
__thread int tls_global = 3;
static __thread char tls_buf[300];
static __thread struct node tls_node;

extern int undefined_weak(int) __attribute__((weak));
extern int twin_sum(int);
extern int hand_written(int);

NOINLINE static int twin(int x) { return x * 3 + counter; }

NOINLINE int uses_switch(int x)
{
	switch (x) {
	case 0: return twin(7);
	case 1: return counter + 11;
	case 2: puts("two"); return 5;
	case 3: return table[3];
	case 4: return twin(x) + 9;
	case 5: puts("five"); return 1;
	case 6: return abs(counter) + 100;
	case 9: return 77;
	}
	return -1;
}

NOINLINE int uses_dense_switch(unsigned x, char *out)
{
	switch (x) {
	case 10: strcpy(out, "ten"); break;
	case 11: strcpy(out, "eleven"); counter++; break;
	case 12: out[0] = 1; table[x]++; break;
	case 13: puts(out); break;
	case 14: counter -= 3; break;
	case 15: counter *= 3; puts("fifteen"); break;
	case 16: exit(1);
	default: return 0;
	}
	return 1;
}

NOINLINE int uses_goto(const unsigned char *code)
{
	static const void *const labels[] = { &&add, &&sub, &&end };
	int acc = 0;

	goto *labels[*code++];
add:
	acc += *code++;
	goto *labels[*code++];
sub:
	acc -= *code++;
	goto *labels[*code++];
end:
	return acc;
}

NOINLINE long past_the_end(void)
{
	long s = 0;

	for (const long *p = arr; p != arr + 8; p++)
		s += *p ^ counter;
	return s + after_arr;
}

NOINLINE long before_the_start(long n)
{
	long s = 0;

	for (long i = 1; i <= n; i++)
		s += arr[i - 1] * i + table[i - 1];
	return s;
}

NOINLINE int uses_tls(int i)
{
	tls_global += i;
	tls_buf[i & 255]++;
	tls_node.pad[1] += i;
	errno = 0;
	return tls_buf[299] + tls_buf[i & 127];
}

NOINLINE char *tls_address(int i) { return tls_buf + i; }

NOINLINE double uses_constants(double x) { return x * 3.25 + sqrt(fabs(x)) - (float)counter * 1.5f; }

NOINLINE int rarely(int x)
{
	if (__builtin_expect(x > 1000, 0)) {
		fprintf(stderr, "too large: %d\n", x);
		abort();
	}
	return x + counter;
}

static int plus(int x) { return x + 1; }
static int minus(int x) { return x - 1; }

static const struct node nodes[] = {
	{ "plus", plus, &head },
	{ "minus", minus, NULL },
	{ "twin", twin, &head },
};

NOINLINE const struct node *find(const char *name)
{
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		if (!strcmp(nodes[i].name, name))
			return &nodes[i];
	return &head;
}

static int ifunc_body(int x) { return x ^ 5; }
static int (*ifunc_resolve(void))(int) { return ifunc_body; }
int chosen(int) __attribute__((ifunc("ifunc_resolve")));

NOINLINE int calls(int x)
{
	static int called;

	called++;
	if (undefined_weak)
		x += undefined_weak(x);
	return chosen(x) + twin_sum(x) + hand_written(x) + called;
}

int alias_of_calls(int) __attribute__((alias("calls")));

int main(int argc, char **argv)
{
	const struct node *n = find(argv[0]);

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("%d %d %ld %ld\n", uses_switch(argc), uses_dense_switch(argc, text), past_the_end(), before_the_start(argc));
	printf("%d %p %f %d %d\n", uses_tls(argc), (void *)tls_address(argc), uses_constants(argc), rarely(argc), calls(argc));
	return n->fn ? n->fn(uses_goto((const unsigned char *)"\2")) : 0;
}

// clang turns this into a table of offsets from the table's own start.
NOINLINE const char *month(int i)
{
	static const char *const names[] = { "January", "February", "March", "April", "May", "June" };

	return (unsigned)i < 6 ? names[i] : "none";
}

NOINLINE const char *color(int i)
{
	switch (i) {
	case 0: return "red";
	case 1: return "green";
	case 2: return "blue";
	case 3: return "yellow";
	case 4: return "violet";
	}
	return "grey";
}
