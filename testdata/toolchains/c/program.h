// A program of several files, for internal/toolchains. It is built once with -DV=1 and once with each of the edits -DV=2 (body), -DV=3
// (text), -DV=4 (inline) and -DV=5 (table), which rules.c alone makes. As an executable it prints "ready" and answers every line of
// input with one line; as a shared library it exports answer.
#ifndef PROGRAM_H
#define PROGRAM_H

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noipa))
#endif

#define EXPORT __attribute__((visibility("default")))

struct item {
	const char *name;
	long weight;
	double price;
	struct item *next;
};

enum op { ADD, SUB, MUL, SHIFT, MIX, ROTATE, SWAP, CLAMP };

extern const struct item catalogue[];
extern const int catalogue_size;

EXPORT void answer(void);

/* rules.c */
long rate(long x, long y);
const char *verdict(long x);
long first_rule(long x);
long second_rule(long x);
long operate(enum op op, long x, long y);

/* table.c */
const struct item *lookup(const char *name);
double total(void);
int count_items(int (*wanted)(const struct item *));

/* text.c */
unsigned hash(const char *s);
void describe(char *out, unsigned long size, const struct item *it);

#endif
