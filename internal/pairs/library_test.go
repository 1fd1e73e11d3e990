package pairs_test

import (
	"context"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/pairs"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

// TestLibraries patches shared libraries in a program that has loaded them.
func TestLibraries(t *testing.T) {
	loader := victim.Build(t, "gcc", []string{"libs/loader.c"}, "-O2", "-g", "-fPIE", "-pie", "-ldl")
	for _, p := range pairs.Libraries(t) {
		p = p.For(t, victim.Native(t))
		for _, v := range []variant{
			{"gcc", "gcc", nil},
			{"no-plt", "gcc", []string{"-fno-plt"}},
			{"now", "gcc", []string{"-Wl,-z,now"}},
			{"symbolic", "gcc", []string{"-Wl,-Bsymbolic"}},
			{"clang", "clang", []string{"-fuse-ld=lld"}},
			{"relocs", "gcc", []string{"-Wl,--emit-relocs"}},
		} {
			t.Run(p.Name+"/"+v.name, func(t *testing.T) {
				t.Parallel()
				old, new := p.BuildLibrary(t, v.cc, v.flags...)
				runLibrary(t, p, loader, old, new, v.cc == "clang")
			})
		}
	}
}

// runLibrary patches and reverts one library. Clang joins small functions to their callers, so that it changes others.
func runLibrary(t *testing.T, p *pairs.Pair, loader, old, new string, clang bool) {
	f := builds.Patch(t, old, new)
	changed := make(map[string]bool)
	for _, c := range f.Changes {
		if c.Change == "changed" {
			changed[c.Name] = true
		}
	}
	for _, name := range p.Changed {
		if !changed[name] && !clang {
			t.Errorf("%s is not reported as changed: %v", name, changed)
		}
	}
	if p.Apply == "" {
		trial.Run(t, f, trial.Answers{Before: p.Before, After: p.After, Reverted: p.Reverted}, loader, old)
		return
	}
	v := victim.Start(t, loader, old)
	trial.Expect(t, v, "before", p.Before)
	_, err := inject.Apply(context.Background(), v.PID, []*patch.File{f}, inject.Options{Wait: trial.Wait})
	if err == nil || !strings.Contains(err.Error(), p.Apply) {
		t.Fatalf("apply: %v; want a refusal that names %s", err, p.Apply)
	}
	trial.Expect(t, v, "refused", p.Before)
	v.End()
}
