/* Types in two versions (-DV=1, -DV=2), each changed in one way. elfdiff/types/compare_test.go says what is found in each. */
#if V == 1
#define OLD(...) __VA_ARGS__
#define NEW(...)
#else
#define OLD(...)
#define NEW(...) __VA_ARGS__
#endif

struct inserted { int a; NEW(long b;) int c; };
struct appended { int a; NEW(int b;) };
struct in_padding { char a; NEW(char b;) long c; };
struct removed { int a; OLD(int b;) int c; };
struct swapped { OLD(int a; int b;) NEW(int b; int a;) };
struct renamed { int OLD(a) NEW(first); int b; };
struct widened { int a; OLD(int) NEW(long) b; };
struct resigned { OLD(int) NEW(unsigned) a; };
struct floated { OLD(int) NEW(float) a; };
struct counted { OLD(int) NEW(enum count { NONE, SOME }) a; };
struct same_width { OLD(long) NEW(long long) a; };
struct qualified { OLD(char *) NEW(const char *) a; OLD(int) NEW(volatile int) b; };
typedef unsigned short port;
struct typed { OLD(unsigned short) NEW(port) a; };
struct pointed { OLD(struct removed) NEW(struct widened) *a; };
struct twin_a { int x; struct twin_a *next; };
struct twin_b { int x; struct twin_b *next; };
struct retargeted { OLD(struct twin_a) NEW(struct twin_b) *a; };
struct to_void { OLD(void) NEW(int) *a; };
struct longer { int a[OLD(4) NEW(6)]; int b; };
struct bits { unsigned a : OLD(3) NEW(4); unsigned b : 5; };
struct anonymous { OLD(int a;) NEW(union { int a; unsigned char raw[4]; };) };
struct nested { struct { int x; NEW(int y;) } in; int last; };
struct holder { struct appended in; int after; };
struct called { void (*f)(int NEW(, long)); };
union joined { int a; NEW(double b;) };
struct unchanged { int a; struct unchanged *next; enum { U1, U2 } u; };

enum end { E0, E1, NEW(E2) };
enum middle { M0, NEW(MX,) M1 };
enum taken_away { T0, OLD(T1) };
enum other_name { OLD(O0) NEW(P0), O1 };
typedef enum { A0, NEW(AX,) A1 } anonymous_enum;
enum { NEW(L0,) L1 = 1 NEW(+ 1), L2 };

struct inserted inserted; struct appended appended; struct in_padding in_padding; struct removed removed; struct swapped swapped;
struct renamed renamed; struct widened widened; struct resigned resigned; struct floated floated; struct counted counted;
struct same_width same_width; struct qualified qualified; struct typed typed; struct pointed pointed; struct retargeted retargeted;
struct to_void to_void; struct longer longer; struct bits bits; struct anonymous anonymous; struct nested nested; struct holder holder;
struct called called; union joined joined; struct unchanged unchanged; struct twin_a twin_a; struct twin_b twin_b;
enum end end; enum middle middle; enum taken_away taken_away; enum other_name other_name; anonymous_enum anonymous_enum_v;

/* Prototypes and variables. */
NEW(float) OLD(int) becomes_float; NEW(unsigned) OLD(int) becomes_unsigned; NEW(long long) OLD(long) becomes_long_long;
int stays(struct unchanged *u, char c) { return u->a + c; }
int more(int a NEW(, int b)) { return a NEW(+ b); }
void sign(OLD(int) NEW(unsigned) a) { becomes_unsigned = a; }
OLD(int) NEW(double) returns(void) { return 1; }

int main(void) { return L1 + L2; }
