package pairs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/pairs"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

// TestLibraries patches shared libraries in a program that has loaded them.
func TestLibraries(t *testing.T) {
	loader := victim.Build(t, "gcc", []string{"libs/loader.c"}, "-O2", "-g", "-fPIE", "-pie", "-ldl")
	for _, p := range pairs.Libraries(t) {
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
	f := diff(t, old, new)
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
	v := victim.Start(t, loader, old)
	expect(t, v, "before", p.Before)
	opt := inject.Options{Wait: 5 * time.Second}
	_, err := inject.Apply(context.Background(), v.PID, []*patch.File{f}, opt)
	if p.Apply != "" {
		if err == nil || !strings.Contains(err.Error(), p.Apply) {
			t.Fatalf("apply: %v; want a refusal that names %s", err, p.Apply)
		}
		expect(t, v, "refused", p.Before)
		v.End()
		return
	}
	if err != nil {
		t.Fatal("apply: ", err)
	}
	expect(t, v, "after", p.After)
	if _, err := inject.Revert(context.Background(), v.PID, "", opt); err != nil {
		t.Fatal("revert: ", err)
	}
	expect(t, v, "reverted", p.Reverted)
	v.End()
}
