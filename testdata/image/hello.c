/* A program that brings all of the C library's start-up and input and output along when it is linked statically. */
#include <stdio.h>

int main(int argc, char **argv)
{
	printf("%s: %d\n", argv[0], argc);
	return 0;
}
