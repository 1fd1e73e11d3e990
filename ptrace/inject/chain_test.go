package inject

import (
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// TestColdChain applies two patches whose function has a part apart from it: the second finds that part of the first's body.
func TestColdChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		flags []string
	}{{"always", nil}, {"late", []string{"-DLATE"}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "cold", 1, c.flags...))
			for i, want := range []string{"12 2 2", "13 2 3"} {
				f := builds.Patch(t, build(t, "cold", i+1, c.flags...), build(t, "cold", i+2, c.flags...))
				apply(t, v.PID, f)
				ask(t, v, "go", want)
			}
			revert(t, v.PID, "")
			ask(t, v, "go", "12 2 2")
			revert(t, v.PID, "")
			ask(t, v, "go", "11 2 2")
			v.End()
		})
	}
}

// TestJournals applies patches together and one by one: there is never a journal that says nothing which another does not.
func TestJournals(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	files := []*patch.File{chainPatch(t, 1), chainPatch(t, 2)}
	apply(t, v.PID, files...)
	revert(t, v.PID, "")
	for range 2 {
		for _, f := range files {
			apply(t, v.PID, f)
		}
		for range files {
			revert(t, v.PID, "")
		}
		if n := strings.Count(footprint(t, v.PID), journalPath); n != 2 {
			t.Errorf("%d journals are mapped, want 2", n)
		}
	}
	v.End()
}
