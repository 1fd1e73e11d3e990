package elfdiff_test

import (
	"testing"
)

// TestIndexed compares two versions of a function of which only the new one reads a table, by an index. Another table is near, at another distance in the
// new build; an index that is known to stay within the first tells that it is not meant.
func TestIndexed(t *testing.T) {
	const source = `
#if V == 1
int far[8] = {1}, table[5] = {2}, other[8] = {3};
#else
int other[8] = {3}, table[5] = {2}, far[8] = {1};
#endif
__attribute__((noinline)) long f(long n)
{
#if V == 2
	__asm__ volatile("adrp x1, table; add x1, x1, :lo12:table; mov w2, w0; " INDEX "; ldr w0, [x1, x2, lsl #2]; 1:" : "+r"(n) : : "x1", "x2", "x3", "cc");
#endif
	return n + V;
}
long sum(long n) { return far[n & 7] + table[n & 3] + other[n & 7]; }
int _start(long n) { return f(n) + sum(n); }
`
	for _, c := range []struct {
		name, index string
		about       string // in the refusal; "": the function can be replaced
	}{
		{"compared", "cmp w2, #4; b.hi 1f", ""},
		{"compared with more", "cmp w2, #5; b.hi 1f", "ambiguous"},
		{"masked", "and w2, w2, #3", ""},
		{"masked, more", "and w2, w2, #7", "ambiguous"},
		{"not compared", "nop", "ambiguous"},
		{"compared with more before", "cmp w2, #7; b.hi 1f; ldr w3, [x1, x2, lsl #2]; cmp w2, #3; b.hi 1f", "ambiguous"},
		{"not compared before", "ldr w3, [x1, x0, lsl #2]; cmp w2, #4; b.hi 1f", "ambiguous"},
		{"a vector instruction sets the flags", "cmp w2, #4; .inst 0x25a40c60; b.hi 1f", "ambiguous"},
		{"compared on one path", "cbz w0, 2f; cmp w2, #4; b.hi 1f; 2: add w2, w2, w0, lsr #1", "ambiguous"},
		{"behind a step", "cmp w2, #4; b.hi 1f; add w2, w2, #40", "ambiguous"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, []string{"aarch64-linux-gnu-gcc", "-O2", "-fPIE", "-pie", "-fno-toplevel-reorder", "-fno-section-anchors", `-DINDEX="` + c.index + `"`})
			wantVerdict(t, old, new, "f", c.about)
		})
	}
}
