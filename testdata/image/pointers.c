// Functions that use the address of an array, each in one way: what may become of the address, and of the words behind it.
long table[64];
long *kept;
void take(long *p);
long use(long x);
#define FN __attribute__((noinline, used))

FN long indexed(unsigned i) { return table[i] > 3; }                    // nothing
FN long summed(unsigned n) { long t = 0; for (unsigned i = 0; i < n; i++) t ^= table[i] == (long)i; return t; } // nothing
FN void written(unsigned i, long v) { table[i] = v; }                   // writes
FN void bumped(unsigned i) { table[i]++; }                              // writes
FN void stored(unsigned i) { kept = &table[i]; }                        // escapes
FN long *returned(unsigned i) { return table + i; }                     // returned
FN void passed(void) { take(table); }                                   // escapes
FN long yielded(unsigned i) { return table[i]; }                        // returned
FN long after(unsigned i) { use(7); return table[i] > 3; }              // nothing
FN void called(unsigned i) { use(table[i]); }                           // yields
FN long tailed(unsigned i, long (*fn)(long *))                          // escapes, by a jump to fn beside that of the switch
{
	switch (i) {
	case 0: return use(3) + 1;
	case 1: return use(1) * 3;
	case 2: return use(4) ^ 9;
	case 3: return use(1) - 7;
	case 4: return use(5) << 2;
	case 5: return use(9) / 5;
	case 6: return use(2) | 64;
	}
	return fn(table);
}
FN int jumped(const unsigned char *op)                                  // nothing but jumps
{
	static const void *const labels[] = { &&inc, &&dbl, &&end };
	int x = 1;

	goto *labels[*op++];
inc:
	x++;
	goto *labels[*op++];
dbl:
	x *= 2;
	goto *labels[*op++];
end:
	return x;
}

#ifndef LIB
FN long use(long x) { __asm__ volatile("" : "+r"(x) :: "memory"); return x; }
void take(long *p) { kept = p; }
static long keep(long *p) { kept = p; return 0; }
int main(int argc, char **argv)
{
	tailed(argc, keep); written(argc, argc); bumped(argc); stored(argc); passed(); called(argc);
	return (int)(indexed(argc) + summed(argc) + *returned(argc) + yielded(argc) + after(argc)) + jumped((unsigned char *)argv[0]);
}
#endif
