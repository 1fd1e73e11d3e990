#include "program.hh"

#include <cstdio>

NOINLINE void answer(void)
{
	volatile long seed = 6;
	Tally<long> tally;
	Tally<std::string> names;
	long area = 0;
	auto scale = scaler(2);

	for (const auto &s : shapes(seed)) {
		tally.add(scale(s->area()));
		names.add(s->name());
		area += s->area();
	}
	std::string all = names.fold("", [](std::string a, const std::string &b) { return a + b[0]; });
	std::printf("%ld %s %ld %ld %d %d %ld %s\n", rate(seed, 2), verdict(seed).c_str(), folded(tally), fees(seed, 1), guarded(seed), guarded(-1), area, all.c_str());
}
