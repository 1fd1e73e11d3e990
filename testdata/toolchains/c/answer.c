#include "program.h"

#include <stdio.h>

NOINLINE EXPORT void answer(void)
{
	static const enum op order[] = { ADD, SUB, MUL, SHIFT, MIX, ROTATE, SWAP, CLAMP };
	volatile long seed = 6;
	long sum = 0;
	char text[64];

	for (unsigned i = 0; i < sizeof order / sizeof *order; i++)
		sum += operate(order[i], seed + i, seed);
	describe(text, sizeof text, lookup("chain"));
	printf("%ld %s %ld %ld %ld %s %u %.2f\n", rate(seed, 2), verdict(seed), first_rule(seed), second_rule(seed),
		sum, text, hash(text) % 1000, total() > 1 ? 1.5 : 0);
}
