#include <stdlib.h>

#include "ops.h"

int other(int x) { return x - 40; }

int main(int argc, char **argv) {
	if (argc > 2)
		return never(atoi(argv[2]));
	return ops.first(argc) + ops.second(argc) + behind(argc) + other(argc);
}
