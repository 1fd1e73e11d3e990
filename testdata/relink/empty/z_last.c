#include "ops.h"

int last(int x) { return other(x) / 13; }
