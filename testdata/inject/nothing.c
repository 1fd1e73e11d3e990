// A program that imports symbols and defines none that others could be bound to.
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	double x = cbrt(atof(argv[argc - 1]));
	return write(1, &x, sizeof x) != sizeof x;
}
