package elfdiff_test

import (
	"fmt"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/internal/victim"
)

// TestServerVersions makes a patch for each step between the versions of the key-value server, and back, for each target: one of its steps adds a counter, which
// gcc for arm64 counts up by calling an outlined function, of which there is no debug information. No word is asked for.
func TestServerVersions(t *testing.T) {
	for _, target := range victim.Targets(t) {
		for _, c := range []struct {
			cc    string
			flags []string
		}{
			{cc: "gcc"},
			{cc: "clang", flags: []string{"-fuse-ld=lld"}},
		} {
			t.Run(target.Name+"/"+c.cc, func(t *testing.T) {
				t.Parallel()
				const versions = 4
				var builds [versions + 1]string // by version, from 1
				for v := 1; v <= versions; v++ {
					flags := append([]string{"-O2", "-g", "-pthread", "-fPIE", "-pie", "-Wl,--build-id", fmt.Sprintf("-DVERSION=%d", v)}, c.flags...)
					builds[v] = target.Build(t, c.cc, []string{"kvd/kvd.c", "kvd/command.c", "kvd/table.c", "kvd/queue.c"}, flags...)
				}
				for _, step := range [][2]int{{1, 2}, {2, 3}, {3, 4}, {1, 4}, {4, 3}, {3, 2}, {2, 1}} {
					r, err := elfdiff.Diff(load(t, builds[step[0]]), load(t, builds[step[1]]), elfdiff.Options{User: "test", Date: time.Unix(0, 0)})
					if err != nil {
						t.Fatal(err)
					}
					if r.Layouts != elfdiff.LayoutsChecked {
						t.Errorf("v%d to v%d: layouts %s", step[0], step[1], r.Layouts)
					}
					if r.Patch != nil {
						continue
					}
					t.Errorf("v%d to v%d: no patch, %d refused, missing %q", step[0], step[1], r.Refused, r.Missing)
					for _, change := range r.Changes {
						if change.Why != "" {
							t.Logf("%s: %s", change.Name, change.Why)
						}
					}
				}
			})
		}
	}
}
