// A constant table with addresses in it: of the image's own strings and functions, and of functions of libc, one of
// them indirect (strlen). Version 2 has other content of the same size. Version 3 is version 1 with another function, by
// which everything moves, and version 4 has both.
#include <stdio.h>
#include <string.h>

#define NOINLINE __attribute__((noipa))

#if V >= 3
static volatile size_t more = 100;
NOINLINE size_t room(size_t n) { return n * n / (more + 1) + n % 7 + more; }
static NOINLINE size_t own(const char *s) { return (size_t)(s[0] - 'a') + room(0); }
#else
static NOINLINE size_t own(const char *s) { return (size_t)(s[0] - 'a'); }
#endif

struct op {
	const char *text;
	int (*put)(const char *);
	size_t (*size)(const char *);
	long bias;
};

#if V == 1 || V == 3
static const struct op table[] = { { "first", puts, strlen, 1 }, { "second", puts, own, 2 } };
#else
static const struct op table[] = { { "the first", puts, strlen, 10 }, { "the second", puts, strlen, 20 } };
#endif

NOINLINE static const struct op *get(int i) { return &table[i]; }

int main(void)
{
	char line[16];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		const struct op *o = get(line[0] - '0');
		char buf[64];
		snprintf(buf, sizeof buf, "%s %ld", o->text, (long)o->size(o->text) + o->bias);
		o->put(buf);
	}
	return 0;
}
