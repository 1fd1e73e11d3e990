// Classes in two versions (-DV=1, -DV=2), each changed in one way.
#if V == 1
#define OLD(...) __VA_ARGS__
#define NEW(...)
#else
#define OLD(...)
#define NEW(...) __VA_ARGS__
#endif

namespace n {
struct Base { int a; NEW(int b;) };
struct Derived : Base { int c; };
class Rebased : public OLD(Base) NEW(Derived) { int x; };
class Slots { public: virtual int first(); NEW(virtual int second();) virtual int last(); int f; };
class Tail { public: virtual int first(); NEW(virtual int last();) };
template <class T> struct Box { T value; OLD(int) NEW(long) n; };
struct Statics { NEW(static int s;) int a; int method() { return a; } NEW(int other() { return a; }) };
enum class Kind : char { A, NEW(B,) C };
}
namespace { struct Hidden { char OLD(a) NEW(b); }; }

int n::Slots::first() { return f; }
NEW(int n::Slots::second() { return f; })
int n::Slots::last() { return f; }
int n::Tail::first() { return 1; }
NEW(int n::Tail::last() { return 1; })

n::Derived derived;
n::Rebased rebased;
n::Slots slots;
n::Tail tail;
n::Box<int> box_int;
n::Box<char *> box_text;
n::Statics statics;
n::Kind kind;
static Hidden hidden;

int main() { struct Local { OLD(int) NEW(long) l; } local = {1}; return local.l + hidden.OLD(a) NEW(b) + statics.method() NEW(+ statics.other()); }
