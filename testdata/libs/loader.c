// Loads the library that its argument names, prints "ready", and calls the library's answer for every line of input.
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char line[256];
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_LAZY) : NULL;
	void (*answer)(void) = lib ? (void (*)(void))dlsym(lib, "answer") : NULL;

	if (!answer) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin))
		answer();
	return 0;
}
