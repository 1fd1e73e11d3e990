// Two variables that change places, so that one's address in one version is the other's in the other: code that names them by equal bytes means
// another one, and code that means the same one has other bytes. It has no library, so that every code model can link it.
extern int absent(void) __attribute__((weak));
#define APART __attribute__((used, aligned(32))) // no one's end is another's start
extern long far_one, far_two;
APART long in_front = 5; // so that the others are not at the start of a page
static __thread APART long own_front = 7;
#if V == 1
APART long far_one = 1;
APART long far_two = 2;
static __thread APART long own_one = 3;
static __thread APART long own_two = 4;
#else
APART long far_two = 2;
APART long far_one = 1;
static __thread APART long own_two = 4;
static __thread APART long own_one = 3;
#endif

long keep(void) { return far_one; }
long *keep_address(void) { return &far_two; }
long keep_own(void) { return own_one; }
int keep_weak(void) { return absent ? absent() : 7; }
unsigned long keep_number(void) { return 0x123456789abcdef0; }

// The variable at the lower address, in both versions: it is another one.
long *pick_address(void) { return V == 1 ? &far_one : &far_two; }
long pick(void) { return V == 1 ? far_one : far_two; }
long pick_own(void) { return V == 1 ? own_one : own_two; }

void *all[] = { keep, keep_address, keep_own, keep_weak, keep_number, pick_address, pick, pick_own };

void _start(void)
{
	for (;;)
		;
}
