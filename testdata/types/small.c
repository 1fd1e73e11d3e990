/* A few types in a file of a few kilobytes: the seed of a fuzz target. */
struct node {
	struct node *next;
	union {
		int whole;
		float part;
	};
	unsigned used : 3;
	enum { IDLE, BUSY = 5 } state;
	char name[4];
	int (*run)(struct node *, int);
};

typedef struct {
	struct node head;
	short n;
} list;

static volatile list all;

static int bump(list *l) { return ++l->n; }

void _start(void)
{
	list local = all;
	local.head.state = BUSY;
	bump(&local);
	all = local;
	for (;;)
		;
}
