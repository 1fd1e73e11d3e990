package ends

import (
	"context"
	"debug/elf"
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
	"hotpatch/internal/emulate"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

var (
	first = flag.Uint64("ends.first", 1, "first seed")
	seeds = flag.Int("ends.seeds", 16, "programs to build and run")
	only  = flag.String("ends.target", "", "only this target: amd64, arm64")
)

// functions is how many functions a program has.
const functions = 24

// compiler is what a program is built with.
type compiler struct {
	target victim.Target
	cc     string
	flags  []string
}

// compilers returns the compilers and flags, of which each program gets one.
func compilers(target victim.Target) []compiler {
	list := []compiler{
		{target, "gcc", []string{"-O2"}}, {target, "clang", []string{"-O2"}}, {target, "gcc", []string{"-O1"}}, {target, "clang", []string{"-O1"}},
		{target, "gcc", []string{"-O3"}}, {target, "clang", []string{"-O3"}}, {target, "gcc", []string{"-Os"}}, {target, "clang", []string{"-Os"}},
		{target, "gcc", []string{"-O2", "-fno-pie", "-no-pie"}}, {target, "clang", []string{"-O2", "-fno-pie", "-no-pie"}},
	}
	if target.Machine == elf.EM_AARCH64 { // one base for several objects, or one for each
		for _, c := range [...]string{
			"gcc -O2 -fno-section-anchors", "clang -O2 -fuse-ld=lld", "gcc -O1 -fno-section-anchors", "clang -O3 -fuse-ld=lld", "gcc -O0", "clang -O0",
			"gcc -O2 -march=armv8.1-a", "clang -Oz", "gcc -O2 -mcmodel=tiny", "clang -O2 -march=armv8.1-a", "gcc -O2 -mcmodel=large -fno-pie -no-pie",
			"clang -Oz -fno-pie -no-pie -fuse-ld=lld", "gcc -O3 -fdata-sections", "gcc -Os -mbranch-protection=standard",
		} {
			args := strings.Fields(c)
			list = append(list, compiler{target, args[0], args[1:]})
		}
	}
	return list
}

// TestPatchedAnswers patches programs: they answer as the new build does. Those for this machine are patched while they run; others are patched in
// their files, and emulated. Functions of which a change is refused are left out of both builds. In these programs every object moves against every other
// one, so that much has to be refused; it must not be most of it.
func TestPatchedAnswers(t *testing.T) {
	for _, target := range victim.Targets(t) {
		if *only == "" || *only == target.Name {
			t.Run(target.Name, func(t *testing.T) { patchedAnswers(t, target) })
		}
	}
}

func patchedAnswers(t *testing.T, target victim.Target) {
	patched := make([]int, *seeds) // functions of each program
	t.Run("programs", func(t *testing.T) {
		for i := range *seeds {
			seed := *first + uint64(i)
			c := compilers(target)[int(seed)%len(compilers(target))]
			t.Run(fmt.Sprintf("%d %s %s", seed, c.cc, strings.Join(c.flags, " ")), func(t *testing.T) {
				t.Parallel()
				patched[i] = try(t, &trialOf{New(seed, functions, target.Machine == elf.EM_AARCH64), c})
			})
		}
	})
	sum, programs := 0, 0
	for _, n := range patched {
		sum += n
		if n > 0 {
			programs++
		}
	}
	t.Logf("%d of %d programs can be patched, with %d of %d functions", programs, *seeds, sum, *seeds*functions)
	if sum < *seeds*functions/3 {
		t.Errorf("%d of %d functions are in programs that can be patched", sum, *seeds*functions)
	}
}

// trialOf is a program that is built with a compiler.
type trialOf struct {
	*Program
	compiler
}

// try patches a program, and returns how many of its functions were not left out.
func try(t *testing.T, p *trialOf) int {
	var without []int
	for range 5 {
		old, new := p.build(t, p.Source(0, without)), p.build(t, p.Source(1, without))
		r := builds.Compare(t, old, new, nil)
		if r.Patch == nil && len(r.Missing) > 0 {
			r = builds.Compare(t, old, new, r.Missing)
		}
		if r.Patch != nil {
			if p.target == victim.Native(t) {
				live(t, p.Program, r.Patch, old, new)
			} else {
				emulated(t, p.Program, r.Patch, old, new)
			}
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

// live applies the patch to the running old build, and compares the answers with those of the new one.
func live(t *testing.T, p *Program, change *patch.Patch, old, new string) {
	f, err := change.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v, w := victim.Start(t, old), victim.Start(t, new)
	v.Ask("go")
	w.Ask("go") // what its functions write, they have written then
	if _, err := inject.Apply(context.Background(), v.PID, []*patch.File{f}, inject.Options{Wait: trial.Wait}); err != nil {
		t.Fatal("apply: ", err)
	}
	p.compare(t, v.Ask("go"), w.Ask("go"), old, new)
	v.End()
	w.End()
}

// emulated compares the answers of the old build whose file is patched with those of the new one.
func emulated(t *testing.T, p *Program, change *patch.Patch, old, new string) {
	changed := emulate.Patched(t, old, change)
	var answers [2]string
	for i, file := range []string{changed, new} {
		cmd := emulate.Command(t, file)
		cmd.Stdin = strings.NewReader("go\n")
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s of %s: %v", file, old, err)
		}
		answers[i] = strings.TrimPrefix(string(out), "ready\n")
	}
	p.compare(t, answers[0], answers[1], old, new)
}

// compare compares answers function by function.
func (p *Program) compare(t *testing.T, answer, of, old, new string) {
	got, want := strings.Fields(answer), strings.Fields(of)
	if len(got) != functions || len(want) != functions {
		t.Errorf("got %q, want %q (%s, %s)", answer, of, old, new)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s, %s: got %s, want %s (%s, %s)", Name(i), p.Form(i), got[i], want[i], old, new)
		}
	}
}

// build compiles and links a source, and returns the path of the program.
func (c *compiler) build(t *testing.T, source string) string {
	dir := c.target.Cached(t, c.cc, append([]string{source}, c.flags...), func(dir string) []string {
		path := filepath.Join(dir, "ends.c")
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		return append([]string{"-w", "-o", filepath.Join(dir, "ends"), path, "-Wl,--build-id"}, c.flags...)
	})
	return filepath.Join(dir, "ends")
}
