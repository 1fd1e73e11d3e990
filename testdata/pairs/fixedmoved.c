// D18: a program that is not position independent; functions, texts, tables and variables that a changed function names as absolute addresses
// have moved, and both builds show that they are addresses.
// Flags: -fno-pie -no-pie
// Changed: answer
// Added: inserted
// Objects: inserted_text inserted_data
// Verdict: ok
// Before: 1 one 42
// After: 2 one 43
// Reverted: 3 one 42
#include "pair.h"

#if V == 2
NOINLINE __attribute__((used)) static int inserted(int x) { return x * x - 7 * x + (x >> 3); }
__attribute__((used)) static const char inserted_text[40] = "moves what follows";
__attribute__((used)) static int inserted_data[16] = { 1 };
#endif

NOINLINE static int by_name(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static int numbers[4] = { 42, 7, 3, 1 };
static const char *const names[] = { "one", "two" };
static int calls = 0;
static volatile int which = 0;

void answer(void)
{
	calls++;
	qsort(numbers, 4, sizeof *numbers, by_name);
	printf("%d %s %d\n", calls, names[which], numbers[3] + (V == 2));
}
