package elfdiff_test

import (
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

// TestUnwritten compares two versions of a function that reads data without a name, which lies where the program could write. The payload may carry a copy only if
// all that refers to it is known to read.
func TestUnwritten(t *testing.T) {
	const source = `
static int calls;
__asm__(".data\n.balign 8\n.type beside, %object\n.size beside, 8\nbeside: .quad 9\n.Ldata: .quad 1, 2, 3, 4\n.text\n");
#define ADDRESS(p) __asm__("adrp %0, .Ldata; add %0, %0, :lo12:.Ldata" : "=r"(p))
__attribute__((noinline)) long f(long n)
{
	const long *p;
	ADDRESS(p);
	calls++;
	return p[n & 3] + V;
}
long (*callee)(long *);
#ifdef OTHER
__attribute__((noinline)) long other(long n) { long *p; ADDRESS(p); OTHER; }
#else
#define other(n) n
#endif
int _start(long n) { return f(n) + other(n) + calls; }
`
	cc := []string{"aarch64-linux-gnu-gcc", "-O2", "-fPIE", "-pie"}
	for _, c := range []struct {
		name  string
		flags []string
		about string // in the refusal; "": the function can be replaced
	}{
		{"nobody else", nil, ""},
		{"read", []string{"-DOTHER=return p[n]"}, ""},
		{"an object beside it is written", []string{"-DOTHER=__asm__ volatile(\"str %0, [%1, #32]; str %0, [%1, #-8]\" : : \"r\"(n), \"r\"(p) : \"memory\"); return p[1]"}, ""},
		{"written", []string{"-DOTHER=p[2] = n; return 0"}, "may write to it"},
		{"written by an index", []string{"-DOTHER=p[n] = n; return 0"}, "may write to it"},
		{"written behind a step", []string{"-DOTHER=__asm__ volatile(\"str %1, [%0, #8]!\" : \"+r\"(p) : \"r\"(n) : \"memory\"); return 0"}, "may write to it"},
		{"written from an object beside it", []string{"-DOTHER=__asm__ volatile(\"adrp %0, beside; add %0, %0, :lo12:beside; add %0, %0, %1, lsl #3; str %1, [%0, #8]\" : " +
			"\"=&r\"(p) : \"r\"(n) : \"memory\"); return 0"}, "may write to it"},
		{"written from below it", []string{"-DOTHER=__asm__ volatile(\"adrp %0, beside + 4; add %0, %0, :lo12:beside + 4; str %1, [%0, %1]\" : " +
			"\"=&r\"(p) : \"r\"(n) : \"memory\"); return 0"}, "may write to it"},
		{"written by a page of which not all is known", []string{"-DOTHER=__asm__ volatile(\"adrp %0, .Ldata; eor %0, %0, #16; str %1, [%0]\" : \"=&r\"(p) : " +
			"\"r\"(n) : \"memory\"); return 0"}, "does with the page"},
		{"handed on", []string{"-DOTHER=return callee(p)"}, "may write to it"},
		{"stored", []string{"-DOTHER=*(long **)n = p; return 0"}, "may write to it"},
		{"returned", []string{"-DOTHER=return (long)p"}, "may write to it"},
		{"in a word of data", []string{"-DOTHER=return 0; } __asm__(\".data\\n.quad .Ldata\\n.text\"); void none(void) {"}, "holds its address"},
		{"without local names", []string{"-Wl,-x"}, "has no local names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, append(cc, c.flags...))
			r, err := elfdiff.Diff(old, new, elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Changes {
				if refused := f.Verdict == patch.Refused; f.Name != "f" || refused != (c.about != "") || !strings.Contains(f.Why, c.about) {
					t.Errorf("%s: %v %s; want %q", f.Name, f.Verdict, f.Why, c.about)
				}
			}
			if len(r.Changes) != 1 {
				t.Errorf("%d changes", len(r.Changes))
			}
		})
	}
}
