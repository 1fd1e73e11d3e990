package elfdiff_test

import (
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/internal/victim"
)

// TestFirstOfSection: two variables change places, and with that which is the first of .bss, where linkers put symbols of their own (__bss_start__ on arm64). These do
// not make one of them the other.
func TestFirstOfSection(t *testing.T) {
	const source = `
struct S { long x, y; };
static struct S one, two;
#if V == 1
__attribute__((noinline)) void set_one(long x) { one.y = x; }
__attribute__((noinline)) void set_two(long x) { two.y = x; }
#else
__attribute__((noinline)) void set_two(long x) { two.y = x; }
__attribute__((noinline)) void set_one(long x) { one.y = x; }
#endif
__attribute__((noinline)) long get_one(void) { return one.y; }
__attribute__((noinline)) long get_two(void) { return two.y; }
long _start(void) { set_one(1); set_two(2); return get_one() + get_two() + V; }
`
	for _, target := range victim.Targets(t) {
		t.Run(target.Name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, target.Tool("gcc"), "-O2", "-fPIE", "-pie")
			r, err := elfdiff.Diff(old, new, elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Changes {
				if c.Name != "_start" {
					t.Errorf("%s %s: %s", c.What, c.Name, c.Change)
				}
			}
		})
	}
}
