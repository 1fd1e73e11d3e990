// A library in versions (-DV=1..4). Version 2 changes lib_value, version 3 imports what version 1 did not: a function
// of libc, one of libm, and an indirect function of libc. Version 4 uses slots that the others have: of a thread-local
// variable and of a variable of libc.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noipa))

extern char **environ;
#ifdef STATIC
static
#endif
__thread int lib_count;

#ifdef TEXT // a constant that the program keeps a copy of
const char lib_text[8] = { V == 1 ? 'o' : 'n', 0 };
#endif

NOINLINE int lib_calls(void) { return environ ? ++lib_count : 0; }

NOINLINE int lib_value(int n)
{
#if V == 4
	lib_count += 100;
	return environ ? lib_count + n : 0;
#elif V == 1
	return n + 1;
#elif V == 2
	return n + 2;
#else
	static char text[8];
#if WITH == 'f'
	text[0] = (char)(1 + (long)floor(n + 0.5));
#elif WITH == 'i'
	text[0] = (char)n;
	return strchr(text, n) == text ? 300 : 0;
#elif WITH == 'l'
	return (int)strtoul("77", NULL, 10) + n;
#endif
	return text[0];
#endif
}

int lib_twice(int n)
{
	if (lib_calls() < 0)
		return 0;
	return lib_value(n) * 2;
}
