package ends

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

var (
	first = flag.Uint64("ends.first", 1, "first seed")
	seeds = flag.Int("ends.seeds", 16, "programs to build and run")
)

// functions is how many functions a program has.
const functions = 24

// compiler is what a program is built with.
type compiler struct {
	cc    string
	flags []string
}

// compilers returns the compilers and flags, of which each program gets one.
func compilers() []compiler {
	return []compiler{
		{"gcc", []string{"-O2"}}, {"clang", []string{"-O2"}}, {"gcc", []string{"-O1"}}, {"clang", []string{"-O1"}},
		{"gcc", []string{"-O3"}}, {"clang", []string{"-O3"}}, {"gcc", []string{"-Os"}}, {"clang", []string{"-Os"}},
		{"gcc", []string{"-O2", "-fno-pie", "-no-pie"}}, {"clang", []string{"-O2", "-fno-pie", "-no-pie"}},
	}
}

// TestPatchedAnswers patches running programs: they answer as the new build does. Functions of which a change is refused are left out of both
// builds. In these programs every object moves against every other one, so that much has to be refused; it must not be most of it.
func TestPatchedAnswers(t *testing.T) {
	patched := make([]int, *seeds) // functions of each program
	t.Run("programs", func(t *testing.T) {
		for i := range *seeds {
			seed := *first + uint64(i)
			c := compilers()[int(seed)%len(compilers())]
			t.Run(fmt.Sprintf("%d %s %s", seed, c.cc, strings.Join(c.flags, " ")), func(t *testing.T) {
				t.Parallel()
				patched[i] = try(t, New(seed, functions), c)
			})
		}
	})
	sum := 0
	for _, n := range patched {
		sum += n
	}
	t.Logf("%d of %d functions are in programs that can be patched", sum, *seeds*functions)
	if sum < *seeds*functions/3 {
		t.Errorf("%d of %d functions are in programs that can be patched", sum, *seeds*functions)
	}
}

// try patches a program, and returns how many of its functions were not left out.
func try(t *testing.T, p *Program, c compiler) int {
	var without []int
	for range 5 {
		old, new := c.build(t, p.Source(0, without)), c.build(t, p.Source(1, without))
		r := builds.Compare(t, old, new, nil)
		if r.Patch == nil && len(r.Missing) > 0 {
			r = builds.Compare(t, old, new, r.Missing)
		}
		if r.Patch != nil {
			live(t, p, r, old, new)
			return functions - len(without)
		}
		more := refused(r)
		if len(more) == 0 {
			return 0 // what is refused is none of the functions
		}
		without = append(without, more...)
	}
	return 0
}

// refused returns the functions of which a change is refused, or one of their tables.
func refused(r *elfdiff.Result) []int {
	var out []int
	for _, c := range r.Changes {
		var i int
		if n, _ := fmt.Sscanf(strings.TrimPrefix(c.Name, "t"), "f%d", &i); n == 1 && c.Verdict == patch.Refused && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// live applies the patch to the running old build, and compares the answers with those of the new one, function by function.
func live(t *testing.T, p *Program, r *elfdiff.Result, old, new string) {
	f, err := r.Patch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v, w := victim.Start(t, old), victim.Start(t, new)
	v.Ask("go")
	w.Ask("go") // what its functions write, they have written then
	if _, err := inject.Apply(context.Background(), v.PID, []*patch.File{f}, inject.Options{Wait: trial.Wait}); err != nil {
		t.Fatal("apply: ", err)
	}
	got, want := strings.Fields(v.Ask("go")), strings.Fields(w.Ask("go"))
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s, %s: got %s, want %s (%s, %s)", Name(i), p.Form(i), got[i], want[i], old, new)
		}
	}
	v.End()
	w.End()
}

// build compiles and links a source, and returns the path of the program.
func (c *compiler) build(t *testing.T, source string) string {
	dir := victim.Cached(t, c.cc, append([]string{source}, c.flags...), func(dir string) []string {
		path := filepath.Join(dir, "ends.c")
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		return append([]string{"-w", "-o", filepath.Join(dir, "ends"), path, "-Wl,--build-id"}, c.flags...)
	})
	return filepath.Join(dir, "ends")
}
