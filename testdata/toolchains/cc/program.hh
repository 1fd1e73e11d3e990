// The C++ program of internal/toolchains: templates, lambdas, exceptions and virtual classes. See ../c/program.h for how it is built and what it does.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noipa))
#endif

#define EXPORT __attribute__((visibility("default")))

extern "C" EXPORT void answer(void);

class Shape {
public:
	virtual ~Shape() = default;
	virtual long area() const = 0;
	virtual const char *name() const { return "shape"; }
};

class Square : public Shape {
public:
	explicit Square(long side) : side(side) {}
	long area() const override;
	const char *name() const override;

private:
	long side;
};

class Ring : public Shape {
public:
	Ring(long outer, long inner) : outer(outer), inner(inner) {}
	long area() const override;
	const char *name() const override { return "ring"; }

private:
	long outer, inner;
};

struct Refusal : std::runtime_error {
	Refusal(const std::string &what, int code) : std::runtime_error(what), code(code) {}
	int code;
};

template <typename T> class Tally {
public:
	NOINLINE void add(const T &value)
	{
		values.push_back(value);
	}

	template <typename F> NOINLINE T fold(T start, F f) const
	{
		for (const T &v : values)
			start = f(start, v);
		return start;
	}

	size_t size() const { return values.size(); }

private:
	std::vector<T> values;
};

template <typename T> NOINLINE T twice(T x) { return x + x; }

// rules.cc
long rate(long x, long y);
long folded(const Tally<long> &t);
long fees(long x, long y);
std::string verdict(long x);
int guarded(long x);

// shapes.cc
std::vector<std::unique_ptr<Shape>> shapes(long n);
std::function<long(long)> scaler(long factor);
