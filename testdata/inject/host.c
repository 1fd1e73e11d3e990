// A program that uses lib.c, linked (-DLINKED) or loaded by path. Every line of input is a command:
//   go          print what the program's own function gives, and lib_twice(10) of each loaded copy
//   open PATH   load a library
//   close       unload the last
//   churn PATH  a thread loads and unloads a library all the time
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noipa))

NOINLINE int host_value(int n)
{
#if V == 1
	return n > 1000 ? n / 3 : n;
#else
	return n > 1000 ? n / 3 : n * 10;
#endif
}

#ifdef OWN
int lib_value(int n) { return n + 1000; }
#endif

#ifdef TEXT
extern const char lib_text[8];
__attribute__((used)) static const char *text(void) { return lib_text; }
#endif

#ifdef LINKED
int lib_twice(int n);
#endif

static void *churn(void *path)
{
	for (;;) {
		void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		usleep(2000);
		if (h)
			dlclose(h);
		usleep(2000);
	}
	return NULL;
}

static void *handles[8];
static int loaded;

int main(void)
{
	char line[4096];
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin)) {
		*strchr(line, '\n') = 0;
		if (!strcmp(line, "go")) {
			printf("%d", host_value(7));
#ifdef LINKED
			printf(" %d", lib_twice(10));
#endif
			for (int i = 0; i < loaded; i++)
				printf(" %d", ((int (*)(int))dlsym(handles[i], "lib_twice"))(10));
			puts("");
		} else if (!strncmp(line, "open ", 5)) {
			void *h = dlopen(line + 5, RTLD_NOW | RTLD_LOCAL);
			if (h)
				handles[loaded++] = h;
			puts(h ? "opened" : dlerror());
		} else if (!strncmp(line, "churn ", 6)) {
			pthread_t t;
			pthread_create(&t, NULL, churn, strdup(line + 6));
			puts("churning");
		} else if (!strcmp(line, "close")) {
			dlclose(handles[--loaded]);
			puts("closed");
		}
	}
	return 0;
}
