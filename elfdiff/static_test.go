package elfdiff_test

import (
	"fmt"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/internal/victim"
)

// TestStaticPrograms compares versions of a program that holds the C library, hand-written code and all, for each target: one function of the program's own
// differs, and no other is taken for changed.
func TestStaticPrograms(t *testing.T) {
	for _, target := range victim.Targets(t) {
		for _, c := range []struct {
			name   string
			flags  []string
			target string // the only one
		}{
			{name: "relocations", flags: []string{"-static", "-Wl,--emit-relocs"}},
			// On x86-64, nothing tells addresses from numbers in such a program, and two functions of libc have some that moved.
			{name: "no relocations", flags: []string{"-static"}, target: "arm64"},
			{name: "PIE", flags: []string{"-static-pie"}},
		} {
			if c.target != "" && c.target != target.Name {
				continue
			}
			t.Run(target.Name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				var builds [2]string
				for i := range builds {
					flags := append([]string{"-O2", "-g", "-pthread", "-Wl,--build-id=sha1", fmt.Sprintf("-DV=%d", i+1)}, c.flags...)
					builds[i] = target.Build(t, "gcc", []string{"inject/plain.c"}, flags...)
				}
				r, err := elfdiff.Diff(load(t, builds[0]), load(t, builds[1]), elfdiff.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Changes) != 1 || r.Changes[0].Name != "answer" || r.Patch == nil {
					t.Errorf("no patch, or not of answer alone: %d refused, missing %q", r.Refused, r.Missing)
					for _, change := range r.Changes {
						t.Logf("%s: %s", change.Name, change.Why)
					}
				}
			})
		}
	}
}
