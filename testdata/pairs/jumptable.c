// D7: a switch gets two more cases; its jump table is carried.
// Changed: name
// Verdict: ok
// Before: zero one two three four five ? ?
// After: zero one two three four five six seven
// Reverted: zero one two three four five ? ?
#include "pair.h"

NOINLINE const char *name(int n)
{
	switch (n) {
	case 0: puts("zero" + 4); return "zero";
	case 1: return strdup("one");
	case 2: return strchr("=two", 't');
	case 3: return strrchr("=three", '=') + 1;
	case 4: return strstr("zzfour", "four");
	case 5: return strpbrk("zzfive", "f");
#if V == 2
	case 6: return strstr("zzsix", "six");
	case 7: return strdup("seven");
#endif
	}
	return "?";
}

void answer(void)
{
	printf("zero");
	for (int i = 1; i < 8; i++)
		printf(" %s", name(i));
	printf("\n");
}
