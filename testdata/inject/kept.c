// A program in two versions (-DV=1..2) whose second one stores pointers to its own new code and data.
// "keep" calls the function that differs; "use" calls and prints what was stored.
#include <stdio.h>
#include <string.h>

int (*volatile function)(int);
const char *volatile *volatile text;

#if V == 2
__attribute__((noipa)) static int triple(int n) { return n * 3; }
static const char *volatile words = "of version 2";
#endif

__attribute__((noipa)) int keep(int n)
{
#if V == 2
	function = triple;
	text = &words;
#endif
	return n + 1000 * V;
}

int main(void)
{
	char line[16];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		if (!strcmp(line, "keep\n"))
			printf("%d\n", keep(1));
		else if (function)
			printf("%d %s\n", function(4), *text);
		else
			puts("nothing");
	return 0;
}
