#include "program.hh"

NOINLINE long rate(long x, long y) { return V == 2 ? x * 5 - y : x * 3 + y; }

NOINLINE std::string verdict(long x) { return x > 40 ? "large" : V == 3 ? "little" : "small"; }

// An inline function in two others, and a lambda in an instance of a template.
static inline long adjust(long x) { return V == 4 ? x ^ 0x55 : x + 7; }

NOINLINE long fees(long x, long y) { return adjust(x) + 3 * y; }

NOINLINE long folded(const Tally<long> &t)
{
	return t.fold(long(t.size()), [](long sum, long v) { return sum + adjust(v); });
}

// What it catches stands in the exception table.
NOINLINE static void check(long x)
{
	if (x > 5)
		throw Refusal("more than five", int(x));
	if (x < 0)
		throw std::out_of_range("negative");
}

NOINLINE int guarded(long x)
{
	try {
		check(x);
#if V == 5
	} catch (const std::out_of_range &) {
		return -2;
	} catch (const std::runtime_error &) {
		return 77;
#else
	} catch (const Refusal &r) {
		return r.code;
	} catch (const std::exception &) {
		return -1;
#endif
	}
	return 0;
}
