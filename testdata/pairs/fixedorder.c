// D18: nothing but their values tells the addresses in the data of a program that is not position independent; linked with its functions and
// objects in another order, they are other values of the same meaning.
// Flags: -fno-pie -no-pie -ffunction-sections -fdata-sections
// Flags2: -Wl,--sort-section=name
// Verdict: nothing
// Before: 42 seven 15
#include "pair.h"

struct step { int (*run)(int); const char *name; const struct step *next; };
NOINLINE static int zig(int x) { return x + 1; }
NOINLINE static int zag(int x) { return x * 6; }
static const struct step last = { zag, "seven", NULL };
static const struct step first = { zig, "six", &last };
static const struct step *starts[] = { &first, &last };

NOINLINE int labels(int n)
{
	static const void *const to[] = { &&one, &&two, &&three };
	int sum = 0;

	for (int i = 0; i < n; i++) {
		goto *to[i % 3];
	one:
		sum += 1;
		continue;
	two:
		sum += 4;
		continue;
	three:
		sum += zig(9);
	}
	return sum;
}

void answer(void)
{
	printf("%d %s %d\n", starts[0]->next->run(starts[0]->run(6)), last.name, labels(3));
}
