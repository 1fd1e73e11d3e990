package elfdiff_test

import (
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

// TestNextObject compares two versions of a function that hands on the address of one variable in the old build and of another in the new, each of which lies right
// behind a third that the function uses. Nothing but the places of the variables differs in its code; that it might mean the end of the third, which is a scalar
// in both builds, does not make it equal. By a step behind an access, as clang goes from one variable to the next at -O3, the address has no
// instruction of its own.
func TestNextObject(t *testing.T) {
	const source = `
#if V == 1
ORDER a, b, c;
#else
ORDER a, c, b;
#endif
__attribute__((noinline)) void seta(int x) { a = x; }
#if V == 1
__attribute__((noinline)) void setb(int x) { b = x; }
__attribute__((noinline)) void setc(int x) { c = x; }
#else
__attribute__((noinline)) void setc(int x) { c = x; }
__attribute__((noinline)) void setb(int x) { b = x; }
#endif
__attribute__((noinline)) void use(int *p) { *p += 5; __asm__ volatile("" : : : "memory"); }
__attribute__((noinline)) int other(int x)
{
	int v = a;
#if V == 2
	use(&c);
#else
	use(&b);
#endif
	return v + x;
}
__attribute__((noinline)) int kept(int x) { int v = a; use(&b); return v + x; }
__attribute__((noinline)) int getb(void) { return b; }
__attribute__((noinline)) int getc(void) { return c; }
int _start(int n) { seta(n); setb(n); setc(n); other(n); kept(n); return getb() + getc(); }
`
	for _, c := range []struct {
		name string
		cc   []string
		same bool // nothing else tells kept from a function that changed
	}{
		{"x86-64", []string{"clang", "-O2", "-DORDER=int", "-fPIE", "-pie"}, true},
		{"arm64", []string{"clang", "--target=aarch64-linux-gnu", "-fuse-ld=lld", "-O2", "-DORDER=int", "-fPIE", "-pie"}, true},
		{"arm64 merged", []string{"clang", "--target=aarch64-linux-gnu", "-fuse-ld=lld", "-O3", "-DORDER=static int", "-fPIE", "-pie"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, c.cc)
			r, err := elfdiff.Diff(old, new, elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Changes {
				got = append(got, f.Name)
				if !c.same && f.Verdict != patch.Refused {
					t.Errorf("%s: %v: it reaches one variable by its distance from another, which is not the same in the running process", f.Name, f.Verdict)
				}
			}
			if !slices.Contains(got, "other") || c.same && len(got) != 1 {
				t.Errorf("changed: %s; want other", strings.Join(got, " "))
			}
		})
	}
}
