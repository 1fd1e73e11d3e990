package elfdiff_test

import (
	"os"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

// TestLandingPadAppears takes the address of a function that was only called directly, and therefore begins with no landing pad. Where the text is guarded, an indirect
// call of its old entry would be the end of the program.
func TestLandingPadAppears(t *testing.T) {
	const source = `
int data[8];
static __attribute__((noinline)) int helper(int x) { data[x & 7] += x; return x * 3 + data[1]; }
__attribute__((noinline)) int work(int x)
{
#if V == 1
	return helper(x) + 1;
#else
	int (*p)(int) = helper;
	__asm__("" : "+r"(p));
	return p(x) + 2;
#endif
}
void _start(void) { work(1); for (;;) ; }
`
	for _, c := range []struct {
		name    string
		flags   []string
		refused bool
	}{
		{"guarded", []string{"-mbranch-protection=bti"}, true},
		{"signing", []string{"-mbranch-protection=standard"}, true},
		{"an object without pads", []string{"-mbranch-protection=bti", "-x", "assembler", os.DevNull}, false},
		{"plain", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, []string{"aarch64-linux-gnu-gcc", "-O2", "-fPIE", "-pie"}, c.flags...)
			if old.Guarded != c.refused {
				t.Errorf("old build: guarded %v, want %v", old.Guarded, c.refused)
			}
			r, err := elfdiff.Diff(old, new, elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Changes {
				if want := c.refused && f.Name == "helper"; want != (f.Verdict == patch.Refused && strings.Contains(f.Why, "landing pad")) {
					t.Errorf("%s: %v (%s)", f.Name, f.Verdict, f.Why)
				}
			}
		})
	}
}
