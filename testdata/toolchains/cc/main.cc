#include "program.hh"

#include <cstdio>

int main()
{
	char line[256];

	setvbuf(stdout, nullptr, _IOLBF, 0);
	std::puts("ready");
	while (std::fgets(line, sizeof line, stdin))
		answer();
}
