#include "uses.h"

int one(int x) { return uses(x) + 1; }
