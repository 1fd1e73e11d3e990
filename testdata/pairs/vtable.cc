// D8, D10: a class overrides another virtual function than before: its vtable has the same size and other content. Objects that exist call
// what the new one has at once.
// Flags: -fno-exceptions -fno-asynchronous-unwind-tables -fno-rtti -fno-devirtualize
// Added: _ZNK6Square5sidesEv
// Objects: _ZTV6Square
// Verdict: ack const:_ZTV6Square
// Before: 0 0
// After: 4 0
// Reverted: 0 0
extern "C" {
#include "pair.h"
}

struct Shape {
	virtual int sides() const { return 0; }
	virtual int corners() const { return 0; }
};
struct Square : Shape {
#if V == 2
	NOINLINE int sides() const override { return 4; }
#endif
	NOINLINE int corners() const override { return 4; }
};
static Shape plain;
static Square square;
static Shape *volatile shapes[] = { &square, &plain };

NOINLINE static int sides(unsigned i) { return shapes[i]->sides(); }
extern "C" void answer(void) { printf("%d %d\n", sides(0), sides(1)); }
