package elfdiff_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/arch/x86"
	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
)

// demandSource is a program of which f changes; BEFORE and AFTER are its two bodies. Its caller is compiled with knowledge of them.
const demandSource = `
#define NOINLINE __attribute__((noinline, noclone))
long total, divisor = 3;
double sum;
long outside(long);
NOINLINE static void clobbers(long n) { total += n / divisor; }
%s
#if V == 1
%s
#else
%s
#endif
int main(int argc, char **argv) {
	for (int i = 0; i < argc * 1000; i++)
		CALL;
	clobbers(2); sum += 1;
	return (int)(total + (long)argv[0][0]);
}
long outside(long n) { return n + total; }
`

// TestDemand finds out what the new body of a function asks of callers that were compiled for the old one.
func TestDemand(t *testing.T) {
	for _, c := range []struct {
		name, call, both, before, after string
		flags                           []string
		writes, args, why               string // registers, comma separated; why: a part of what is not known
	}{
		{name: "the same registers", call: "f(i)", before: "NOINLINE static void f(long n) { total += n; }", after: "NOINLINE static void f(long n) { total -= n; }"},
		{name: "one more", call: "f(i)", before: "NOINLINE static void f(long n) { total += n; }", after: "NOINLINE static void f(long n) { total += n * divisor; }", writes: "rdi"},
		{name: "fewer", call: "f(i)", before: "NOINLINE static void f(long n) { total += n * divisor; }", after: "NOINLINE static void f(long n) { total += n; }"},
		{name: "vectors", call: "f(i)", before: "NOINLINE static void f(long n) { total += n; }", after: "NOINLINE static void f(long n) { total += n; sum += 1.5; }", writes: "xmm0"},
		{name: "through an unchanged one", call: "f(i)", before: "NOINLINE static void f(long n) { total += n; }",
			after: "NOINLINE static void f(long n) { clobbers(n); total += n; }", writes: "rax, rdx"},
		{name: "through the same one", call: "f(i)", before: "NOINLINE static void f(long n) { clobbers(n); total += 1; }", after: "NOINLINE static void f(long n) { clobbers(n); total += 2; }"},
		{name: "another module", call: "f(i)", both: "long labs(long); int rand(void);", before: "NOINLINE static void f(long n) { total += n; }",
			after: "NOINLINE static void f(long n) { total += n + rand(); }", writes: "rax, rcx, rdx, rsi, r8, r9, r10, r11, xmm0, xmm15, st"},
		{name: "another module in both", call: "f(i)", both: "int rand(void);", before: "NOINLINE static void f(long n) { total += rand(); }",
			after: "NOINLINE static void f(long n) { total += 3 * rand(); }"},
		{name: "an argument more", call: "f(i, i)", before: "__attribute__((noipa)) void f(long n, long m) { total += n; (void)m; }",
			after: "__attribute__((noipa)) void f(long n, long m) { total += n; divisor += m; }", args: "rsi"},
		{name: "a parameter more", call: "FCALL", both: "#if V == 1\n#define FCALL f(i)\n#else\n#define FCALL f(i, argc)\n#endif", before: "__attribute__((noipa)) void f(long n) { total += n; }",
			after: "__attribute__((noipa)) void f(long n, long m) { total += n; divisor += m; }", args: "rsi", why: "parameters"},
		{name: "no debug information", call: "f(i)", before: "NOINLINE static void f(long n) { total += n; }", after: "NOINLINE static void f(long n) { total -= n; }",
			flags: []string{"-g0"}, why: "debug information"},
		{name: "by tail call", call: "f(i)", before: "NOINLINE static void f(long n) { total += n; }", after: "NOINLINE static void f(long n) { total++; clobbers(n); }", writes: "rax, rdx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			source := filepath.Join(dir, "demand.c")
			if err := os.WriteFile(source, fmt.Appendf(nil, demandSource, c.both, c.before, c.after), 0o666); err != nil {
				t.Fatal(err)
			}
			var files [2]string
			for i := range files {
				files[i] = filepath.Join(dir, fmt.Sprint("v", i+1))
				command(t, "gcc", append([]string{"-O2", "-g", "-Wl,--build-id", fmt.Sprintf("-DV=%d", i+1), "-DCALL=" + c.call, "-o", files[i], source}, c.flags...)...)
			}
			r, err := elfdiff.Diff(load(t, files[0]), load(t, files[1]), elfdiff.Options{})
			if err != nil || r.Patch == nil {
				t.Fatalf("%v, %q", err, r.Missing)
			}
			var f *patch.Func
			for i := range r.Patch.Funcs {
				if r.Patch.Funcs[i].Name == "f" {
					f = &r.Patch.Funcs[i]
				}
			}
			if f == nil {
				t.Fatal("f is not in the patch")
			}
			more, names := &f.NewCode.More, x86.Arch.Call
			writes, args := more.Writes.Names(&names), more.Args.Names(&names)
			for _, want := range strings.Split(c.writes, ", ") {
				if !strings.Contains(writes, want) || c.writes == "" && writes != "" {
					t.Errorf("writes %q more, want %q", writes, c.writes)
				}
			}
			if args != c.args {
				t.Errorf("takes %q more, want %q", args, c.args)
			}
			if !strings.Contains(more.Why, c.why) || c.why == "" && more.Why != "" {
				t.Errorf("not known: %q, want %q", more.Why, c.why)
			}
		})
	}
}
