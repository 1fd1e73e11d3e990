// The second file of otherfile.c.
#if V == 1
__attribute__((noipa)) int b(void) { return 5; }
#else
static int level = 90;
__attribute__((noipa)) int b(void) { return ++level; }
#endif
