// Calls an alias that has no size, of one or another function of alias.s.
#include <stdio.h>

int alias(int), one(int), two(int);

int main(int argc, char **argv) { printf("%d %d %d\n", alias(argc), one(argc), two(argc)); }
