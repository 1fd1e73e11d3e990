package elfdiff_test

import (
	"strings"
	"testing"
)

// TestNameless compares two versions of a function that reads data without a name, which the program could write to: what the running process has is used, if the two
// builds have it in the same place.
func TestNameless(t *testing.T) {
	const source = `
#define ADDRESS(p) __asm__("adrp %0, .Ldata; add %0, %0, :lo12:.Ldata" : "=r"(p))
#if V == 1
__asm__(".data\n.balign 8\n.type before, %object\n.size before, 8\nbefore: .quad 9\n.Ldata: .quad 1, 2, 3, 4\n.type behind, %object\n.size behind, 8\nbehind: .quad 9\n.text\n");
#else
__asm__(".data\n.balign 8\n" DATA "\n.text\n");
#endif
__attribute__((noinline)) long f(long n)
{
	const long *p = (const long *)n;
	if (V == 2 || OLD)
		ADDRESS(p);
	return p[n & 3] + V;
}
int _start(long n) { return f(n); }
`
	const before, behind = ".type before, %object\\n.size before, 8\\nbefore: .quad 9\\n", ".type behind, %object\\n.size behind, 8\\nbehind: .quad 9"
	const data = ".Ldata: .quad 1, 2, 3, 4\\n"
	for _, c := range []struct {
		name, data, old string
		about           string // in the refusal; "": the function can be replaced
	}{
		{"the same", before + data + behind, "1", ""},
		{"in another place", ".type more, %object\\n.size more, 16\\nmore: .quad 9, 9\\n" + before + data + behind, "1", ""},
		{"other content", before + ".Ldata: .quad 1, 2, 3, 5\\n" + behind, "1", "something else"},
		{"longer", before + ".Ldata: .quad 1, 2, 3, 4, 5\\n" + behind, "1", "in another place"},
		{"something in front", before + ".quad 0\\n" + data + behind, "1", "in another place"},
		{"other neighbours", behind + "\\n" + data + before, "1", "between other objects"},
		{"another end", before + data, "1", "between other objects"},
		{"new", before + data + behind, "0", "nothing corresponds"},
		{"without local names", before + data + behind, "1 -Wl,-x", "no local names"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			old, new := freestanding(t, source, append([]string{"aarch64-linux-gnu-gcc", "-O2", "-fPIE", "-pie", `-DDATA="` + c.data + `"`}, strings.Fields("-DOLD="+c.old)...))
			wantVerdict(t, old, new, "f", c.about)
		})
	}
}
