#include <stdio.h>

int kind(unsigned k, int v), other(unsigned k, int v);

void hit(const char *s) { puts(s); }

int main(int argc, char **argv) {
	(void)argv;
	return kind(argc, 1) + other(argc, 1);
}
