#include "program.h"

#include <string.h>

const struct item catalogue[] = {
	{ "anchor", 120, 9.5, 0 },
	{ "bolt", 1, 0.25, 0 },
	{ "chain", 44, 3.75, 0 },
	{ "drum", 80, 17.125, 0 },
};
const int catalogue_size = sizeof catalogue / sizeof *catalogue;

static const struct item *last;
static _Thread_local int lookups;

NOINLINE const struct item *lookup(const char *name)
{
	lookups++;
	if (last && !strcmp(last->name, name))
		return last;
	for (const struct item *it = catalogue; it < catalogue + catalogue_size; it++) {
		if (!strcmp(it->name, name))
			return last = it;
	}
	return 0;
}

NOINLINE double total(void)
{
	double sum = lookups;

	for (int i = 0; i < catalogue_size; i++)
		sum += catalogue[i].price * 1.19;
	return sum;
}

NOINLINE int count_items(int (*wanted)(const struct item *))
{
	int n = 0;

	for (int i = 0; i < catalogue_size; i++)
		n += wanted(&catalogue[i]);
	return n;
}

/* Nothing calls it: the linker may leave it out. */
long unused_sum(const long *v, int n)
{
	long sum = 0;

	for (int i = 0; i < n; i++)
		sum += v[i] * 3;
	return sum;
}
