#include "uses.h"

int two(int x) { return uses(x) * 2; }
