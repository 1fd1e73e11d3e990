package elfdiff_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hotpatch/elfdiff"
)

// beyondSource is a program whose loop() leads to add() in some way. Of version 2, add() writes more registers.
const beyondSource = `
#define NOINLINE __attribute__((noinline, noclone))
long total, divisor = 3, rounds;
%s
int main(int argc, char **argv) { loop(argc * 100); return (int)(total + rounds + argv[0][0]); }
`

// add is a function that asks more, and loop one that keeps a counter in a register while it calls CALL.
const (
	beyondAdd  = "NOINLINE static void add(long n) {\n#if V == 1\ntotal += n;\n#else\ntotal += n / divisor;\n#endif\n}\n"
	beyondLoop = "NOINLINE static void loop(int n) { for (int i = 0; i < n; i++) %s; rounds += V; }\n"
)

// TestDemandBeyond: a call that goes on in an old body meets new code through functions that do not change, in a circle, and where
// the body has an instruction of which nothing is known.
func TestDemandBeyond(t *testing.T) {
	for _, c := range []struct {
		name, source string
		calls        []string // of loop: what asks registers of it
		asks         []string // functions whose new bodies ask for rax
	}{
		{name: "through an unchanged one", calls: []string{"add"}, asks: []string{"add"},
			source: beyondAdd + "NOINLINE static void middle(long n) { add(n); total++; }\n" + fmt.Sprintf(beyondLoop, "middle(i)")},
		{name: "through two", calls: []string{"add"}, asks: []string{"add"},
			source: beyondAdd + "NOINLINE static void inner(long n) { add(n); total++; }\nNOINLINE static void outer(long n) { inner(n); total += 2; }\n" +
				fmt.Sprintf(beyondLoop, "outer(i)")},
		{name: "through a changed and an unchanged one", calls: []string{"outer"}, asks: []string{"add", "outer"},
			source: beyondAdd + "NOINLINE static void inner(long n) { add(n); total++; }\nNOINLINE static void outer(long n) { inner(n); total += V; }\n" +
				fmt.Sprintf(beyondLoop, "outer(i)")},
		{name: "in a circle", calls: []string{"odd"}, asks: []string{"even", "loop", "odd"},
			source: "static void odd(long n);\nNOINLINE static void even(long n) { if (n > 0) odd(n - 2); total += V; }\n" +
				"NOINLINE static void odd(long n) { if (n > 0) even(n);\n#if V == 1\ntotal += n;\n#else\ntotal += n / divisor;\n#endif\n}\n" +
				fmt.Sprintf(beyondLoop, "odd(i)")},
		{name: "an unknown instruction", calls: []string{"add"}, asks: []string{"add"},
			source: beyondAdd + fmt.Sprintf(beyondLoop, `({ __asm__ volatile("xlatb" ::: "memory"); add(i); })`)},
		{name: "nothing is kept over a call of another module", asks: []string{"add"},
			source: "int rand(void);\n" + beyondAdd + "NOINLINE static void middle(long n) { add(n); total += rand(); }\n" + fmt.Sprintf(beyondLoop, "middle(i)")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			source := filepath.Join(dir, "beyond.c")
			if err := os.WriteFile(source, fmt.Appendf(nil, beyondSource, c.source), 0o666); err != nil {
				t.Fatal(err)
			}
			var files [2]string
			for i := range files {
				files[i] = filepath.Join(dir, fmt.Sprint("v", i+1))
				command(t, "gcc", "-O2", "-g", "-Wl,--build-id", fmt.Sprintf("-DV=%d", i+1), "-o", files[i], source)
			}
			r, err := elfdiff.Diff(load(t, files[0]), load(t, files[1]), elfdiff.Options{})
			if err != nil || r.Patch == nil {
				t.Fatalf("%v, %q", err, r.Missing)
			}
			var calls, asks []string
			for i := range r.Patch.Funcs {
				f := &r.Patch.Funcs[i]
				if f.NewCode.More.Writes&1 != 0 { // rax
					asks = append(asks, f.Name)
				}
				for _, k := range f.OldCode.Calls {
					if f.Name == "loop" {
						calls = append(calls, r.Patch.Funcs[k].Name)
					}
				}
			}
			slices.Sort(asks)
			if !slices.Equal(calls, c.calls) {
				t.Errorf("loop leads to %q, want %q", calls, c.calls)
			}
			if !slices.Equal(asks, c.asks) {
				t.Errorf("rax is asked for by %q, want %q", asks, c.asks)
			}
		})
	}
}
