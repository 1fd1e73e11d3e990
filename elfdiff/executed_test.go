package elfdiff_test

import (
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/internal/emulate"
	"hotpatch/internal/victim"
)

// TestExecuted puts the patch of a program for arm64 into its file, with the jumps, and runs that: it does what the new build does. The programs are
// linked for a fixed address, so that the file alone says where everything is; other modules' functions are called by way of its own slots.
func TestExecuted(t *testing.T) {
	target := victim.Targets(t)[len(victim.Targets(t))-1]
	for _, c := range []struct {
		name, cc string
		flags    []string
	}{
		{name: "gcc", cc: "gcc"},
		{name: "position-independent", cc: "gcc", flags: []string{"-fPIE"}},
		{name: "without anchors", cc: "gcc", flags: []string{"-fno-section-anchors"}},
		{name: "much optimised", cc: "gcc", flags: []string{"-O3", "-mbranch-protection=standard"}},
		{name: "relocations", cc: "gcc", flags: []string{"-Wl,--emit-relocs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var files [2]string
			for i, v := range []string{"-DV=1", "-DV=2"} {
				files[i] = target.Build(t, c.cc, []string{"executed/mixed.c"}, append([]string{v, "-O2", "-g", "-fno-pie", "-no-pie", "-Wl,--build-id"}, c.flags...)...)
			}
			opt := elfdiff.Options{User: "test", Date: time.Unix(0, 0)}
			r, err := elfdiff.Diff(load(t, files[0]), load(t, files[1]), opt)
			if err == nil && len(r.Missing) > 0 {
				opt.Acks = r.Missing
				r, err = elfdiff.Diff(load(t, files[0]), load(t, files[1]), opt)
			}
			if err != nil || r.Patch == nil {
				t.Fatalf("no patch: %v, %+v", err, r.Changes)
			}
			before, want := emulated(t, files[0]), emulated(t, files[1])
			if got := emulated(t, emulate.Patched(t, files[0], r.Patch)); got != want || got == before {
				t.Errorf("the patched program prints\n%sthe new build\n%s", got, want)
			}
		})
	}
}

// emulated runs a program for arm64, on any machine, and returns what it prints.
func emulated(t *testing.T, file string) string {
	t.Helper()
	out, err := emulate.Command(t, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", file, err, out)
	}
	return string(out)
}
