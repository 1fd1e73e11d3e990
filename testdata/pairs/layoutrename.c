// D10: what people do every day, and what changes no layout: a member gets another name, one another type of the same layout, another a typedef,
// two are put into an anonymous union with their own kind, and the struct is declared before it is defined.
// Changed: answer
// Types: struct box
// Verdict: ok
// Before: 6
// After: 106
// Reverted: 6
#include "pair.h"

struct lid;
#if V == 1
struct box {
	int count;
	long width;
	unsigned int depth;
	struct lid *lid;
	int kind;
};
#else
typedef unsigned int measure;
struct box {
	int number; /* was count */
	long long width;
	measure depth;
	struct lid *lid;
	union {
		int kind;
		int sort;
	};
};
#define count number
#endif

static struct box *volatile box;

void answer(void)
{
	if (!box) {
		struct box *b = calloc(1, sizeof *b);
		b->count = 1;
		b->width = 2;
		b->depth = 3;
		box = b;
	}
	printf("%d\n", (int)(box->count + box->width + box->depth + (V == 1 ? 0 : 100)) + box->kind);
}
