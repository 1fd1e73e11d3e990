// D8, D10: a class gets a virtual function. Objects that exist have the vtable of the old build.
// Changed: _Z6answerv
// Objects: _ZTV5Shape
// Types: class Shape
// Verdict: refused vtable of the old build
#include "pair.h"

class Shape {
public:
	virtual int sides();
#if V == 2
	virtual int corners();
#endif
	virtual int area();
};

int Shape::sides() { return 4; }
#if V == 2
int Shape::corners() { return 4; }
#endif
int Shape::area() { return 9; }

static Shape *volatile shape;

void answer()
{
	if (!shape)
		shape = new Shape;
	printf("%d\n", shape->area());
}
