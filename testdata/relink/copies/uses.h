// Both files have a copy of uses and of what it refers to; the linker keeps the first one's uses.
void note(const void *tag, int (*help)(int));

#ifdef TAG
static const int tag[] = {1, 2, 3, 9};
#else
static const int tag[] = {1, 2, 3, 4};
#endif

#ifdef HELP
static __attribute__((noinline)) int help(int x) { return x * 7 + 4; }
#else
static __attribute__((noinline)) int help(int x) { return x * 7 + 3; }
#endif

__attribute__((noinline)) inline int uses(int x) {
	note(tag, help);
	return x - 6;
}
