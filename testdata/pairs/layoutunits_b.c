#include <stdlib.h>

struct item {
	char *text;
	short n;
};

static struct item items[2] = { { "a", 1 }, { "b", 2 } };
static struct item *volatile last = &items[1];

int other(void) { return last->n; }
