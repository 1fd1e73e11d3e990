// The second file of otherfile.c.
#if V == 1
__attribute__((noinline)) int b(void) { return 5; }
#else
static int level = 90;
__attribute__((noinline)) int b(void) { return ++level; }
#endif
