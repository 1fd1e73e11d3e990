// Forms of C++ classes: bases, virtual bases, templates, nested and anonymous scopes, static members.
#include <cstdio>

namespace shop {
struct Base {
	int id;
	static int count;
	virtual ~Base() {}
	virtual int price() { return id; }
};
int Base::count = 0;

struct Tagged {
	char tag;
};

class Item : public Base, private Tagged {
	long weight;
	union {
		int whole;
		float part;
	};

public:
	enum class Kind : unsigned char { Small, Large = 9 };
	Kind kind;
	int Item::*member;
	int price() override { return kind == Kind::Large ? 2 : id; }
	class Part {
	public:
		short a;
		Item &owner;
		Part(Item &o) : a(1), owner(o) {}
	};
};

struct Left : virtual Base {
	int left;
};
struct Right : virtual Base {
	int right;
};
struct Both : Left, Right {
	int both;
};

template <class T, int N> struct Fixed {
	T values[N];
	unsigned used : 4;
};
} // namespace shop

namespace {
struct Hidden {
	int h;
	shop::Fixed<double, 3> f;
};
} // namespace

static shop::Item item;
static shop::Both both;
static Hidden hidden;

int main()
{
	struct Local {
		char c;
		long l;
	} local = {'x', 1};
	shop::Item::Part part(item);
	printf("%d %d %d %ld %d\n", item.price(), both.both, hidden.h, local.l, part.a);
	auto f = [&](int n) { return n + part.owner.id; };
	return f(3);
}
