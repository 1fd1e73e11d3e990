/* Types that change, each in another place: elfdiff/layout_test.go says whom each concerns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if V == 1
#define OLD(...) __VA_ARGS__
#define NEW(...)
#else
#define OLD(...)
#define NEW(...) __VA_ARGS__
#endif
#define NOINLINE __attribute__((noipa))

struct held { int a; NEW(int z;) int b; };         /* in variables */
struct linked { struct linked *next; NEW(int z;) int b; }; /* on the heap, reached from a variable */
struct stacked { int a; NEW(int z;) int b; };      /* on the stacks of replaced functions only */
struct kept { int a; int b; NEW(int z;) };         /* on the stack of a function that stays */
struct cast { int a; NEW(int z;) int b; };         /* no variable has it */
struct pointed { int a; NEW(int z;) int b; };      /* a function holds a pointer to it */
enum numbers { ZERO, NEW(HALF,) ONE };             /* a local's type only */
struct one_name { int OLD(a) NEW(first); };

struct held table[4 OLD(+ 2)], one;
static struct linked *head;
struct one_name one_name;
static void *bytes;

NOINLINE int use_held(int i) { return table[i].b + one.b; }
NOINLINE int count_held(void) { return one.a; }
NOINLINE int use_linked(void) { return head ? head->b : 0; }
NOINLINE int use_stacked(int n)
{
	struct stacked s;
	memset(&s, n, sizeof s);
	__asm__ volatile("" : : "r"(&s) : "memory");
	return s.b;
}
NOINLINE int look(const void *p) { return *(const int *)p; }
NOINLINE int peek_kept(int n)
{
	struct kept k;
	k.a = n;
	__asm__ volatile("" : : "r"(&k) : "memory");
	return look(&k);
}
NOINLINE int use_kept(const struct kept *k) { return OLD(k->b) NEW(k->z); }
NOINLINE int use_cast(void) { return bytes ? ((struct cast *)bytes)->b : 0; }
NOINLINE int use_pointed(void)
{
	struct pointed *p = bytes;
	return p ? p->b : 0;
}
NOINLINE int use_numbers(int n)
{
	enum numbers e = n;
	return e == ONE;
}
NOINLINE int use_name(void) { return one_name.OLD(a) NEW(first); }

int main(int argc, char **argv)
{
	(void)argv;
	bytes = calloc(1, 64);
	head = calloc(1, sizeof *head);
	struct kept *k = bytes;
	printf("%d\n", use_held(argc) + count_held() + use_linked() + use_stacked(argc) + peek_kept(argc) + use_cast() + use_pointed() + use_numbers(argc) +
	       use_name() + use_kept(k));
	return 0;
}
