#include "program.hh"

NOINLINE long Square::area() const { return side * side; }

NOINLINE const char *Square::name() const { return "square"; }

NOINLINE long Ring::area() const { return 3 * (outer * outer - inner * inner); }

NOINLINE std::vector<std::unique_ptr<Shape>> shapes(long n)
{
	std::vector<std::unique_ptr<Shape>> out;
	for (long i = 1; i <= n; i++) {
		if (i % 2)
			out.push_back(std::make_unique<Square>(i));
		else
			out.push_back(std::make_unique<Ring>(i, i / 2));
	}
	return out;
}

NOINLINE std::function<long(long)> scaler(long factor)
{
	static long uses = 0;
	return [factor, n = ++uses](long x) { return twice(x) * factor + n - uses; };
}
