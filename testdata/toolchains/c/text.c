#include "program.h"

#include <stdio.h>

NOINLINE unsigned hash(const char *s)
{
	unsigned h = 2166136261u;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 16777619u;
	return h;
}

/* The same code twice, for folding. */
NOINLINE int is_heavy(const struct item *it) { return it->weight > 50; }
NOINLINE int is_bulky(const struct item *it) { return it->weight > 50; }

NOINLINE void describe(char *out, unsigned long size, const struct item *it)
{
	int n = count_items(is_heavy) + count_items(is_bulky);

	if (size < 8) {
		fprintf(stderr, "%s:%d: no room\n", __FILE__, __LINE__);
		return;
	}
	snprintf(out, size, "%s/%ld/%d", it ? it->name : "nothing", it ? it->weight : 0, n);
}
