/* Every form of member that a C layout can have. elfdiff/types compares what it reads with pahole and readelf. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum colour { RED, GREEN = 5, BLUE, LAST = -3 };
enum { LONE = 7, LONELY = 1 << 20 };
enum wide { NARROW = 1, WIDE = 0x7fffffff };

typedef struct {
	char c;
	double d;
} named_by_typedef;

struct packed {
	char a;
	int b;
	short c;
} __attribute__((packed));

struct bits {
	unsigned a : 1;
	unsigned b : 3;
	int c : 12;
	unsigned long d : 40;
	unsigned : 0;
	unsigned char e : 2;
	_Bool f : 1;
};

struct tail {
	size_t n;
	int rest[];
};

struct all {
	struct all *next, **prev;
	const volatile struct packed *const p;
	named_by_typedef t[3];
	struct bits bits;
	enum colour colour;
	enum wide wide;
	int grid[4][7];
	union {
		long number;
		float real;
		struct {
			short lo, hi;
		};
	};
	union {
		int x;
		char y[3];
	} u;
	struct {
		int inner;
		struct {
			char deep;
		} deeper;
	} nested[2];
	int (*call)(struct all *, const char *, ...);
	void *opaque;
	long double ld;
	__int128 big;
	_Complex double z;
	char aligned __attribute__((aligned(64)));
	struct tail *tail;
	uint8_t last;
};

static struct all all;
static named_by_typedef single;
static struct tail *tails;
static struct packed packed;
__thread struct bits per_thread;
static enum colour colour;

int main(void)
{
	all.call = 0;
	single.c = (char)LONE;
	packed.b = LONELY;
	per_thread.a = 1;
	colour = BLUE;
	printf("%p %p %d\n", (void *)&all, (void *)tails, (int)colour);
	return single.c + packed.b;
}
