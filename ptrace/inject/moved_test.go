package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// growPatch is the patch from version v of grow.c to the next.
func growPatch(t testing.TB, v int, flags ...string) *patch.File {
	t.Helper()
	return builds.Patch(t, build(t, "grow", v, flags...), build(t, "grow", v+1, flags...))
}

// TestMoved lets a variable grow in a running process: what it holds goes along, and comes back.
func TestMoved(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "grow", 1))
	f := growPatch(t, 1)
	ask(t, v, "add 3", "3 3")
	ask(t, v, "add 4", "7 3")
	r := apply(t, v.PID, f)
	if m := r.Patches[0].Moved; len(m) != 1 || m[0].Name != "ring" || m[0].OldSize != 16 || m[0].NewSize != 32 {
		t.Errorf("moved: %+v", m)
	}
	ask(t, v, "show", "7 3")
	ask(t, v, "set 5", "9 5")
	revert(t, v.PID, "")
	ask(t, v, "show", "9 5")
	ask(t, v, "set 6", "10 6")
	if r := apply(t, v.PID, f); !r.Patches[0].Reused {
		t.Error("the second apply did not use the first one's memory")
	}
	ask(t, v, "show", "10 6")
	v.End()
}

// TestMovedFull refuses to revert once the variable holds more than it had room for, unless the user says that it is not missed.
func TestMovedFull(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "grow", 1))
	f := growPatch(t, 1)
	ask(t, v, "add 3", "3 3")
	ask(t, v, "add 4", "7 3")
	apply(t, v.PID, f)
	ask(t, v, "add 10", "17 3")
	before := footprint(t, v.PID)
	_, err := Revert(context.Background(), v.PID, "", quick)
	if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), "--ack rest:ring") {
		t.Fatalf("revert: %v, want a refusal that names the variable", err)
	}
	if footprint(t, v.PID) != before {
		t.Error("the process has changed")
	}
	ask(t, v, "show", "17 3")
	opt := quick
	opt.Acks = []string{"rest:ring"}
	if r, err := Revert(context.Background(), v.PID, "", opt); err != nil || !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "ring") }) {
		t.Fatalf("revert with the word given: %v, notes %q", err, r.Notes)
	}
	ask(t, v, "show", "7 3")
	apply(t, v.PID, f) // what is new starts as it is in the file, also in memory that is used again
	ask(t, v, "show", "7 3")
	v.End()
}

// TestMovedTwice moves a variable twice, in one transaction and in two, and all the way back.
func TestMovedTwice(t *testing.T) {
	t.Parallel()
	files := []*patch.File{growPatch(t, 1), growPatch(t, 2)}
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprint(together), func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "grow", 1))
			ask(t, v, "add 3", "3 3")
			if together {
				apply(t, v.PID, files...)
			} else {
				apply(t, v.PID, files[0])
				ask(t, v, "set 2", "2 2")
				apply(t, v.PID, files[1])
				ask(t, v, "set 3", "3 3")
			}
			ask(t, v, "add 4", "7 3")
			ask(t, v, "set 5", "9 5")
			revert(t, v.PID, "")
			ask(t, v, "set 6", "10 6")
			if !together {
				revert(t, v.PID, "")
			}
			ask(t, v, "show", "10 6")
			if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
				t.Errorf("list afterwards: %+v, %v", s, err)
			}
			v.End()
		})
	}
}

// TestMovedKilled kills an apply, and a revert, around the copying of a variable. The next command finishes or undoes it, and the
// variable has its value.
func TestMovedKilled(t *testing.T) {
	t.Parallel()
	f := growPatch(t, 1)
	old := build(t, "grow", 1)
	for _, c := range []struct {
		point string
		count int
	}{{"committing", 1}, {"copied", 1}, {"gated", 1}, {"gated", 4}, {"go", 1}, {"written", 1}, {"written", 2}, {"written", 3}, {"written", 4}, {"marked", 1}} {
		for _, verb := range []string{"apply", "revert"} {
			for _, again := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s-%s-%d-%v", verb, c.point, c.count, again), func(t *testing.T) {
					t.Parallel()
					v := victim.Start(t, old)
					ask(t, v, "add 3", "3 3")
					if verb == "revert" {
						apply(t, v.PID, f)
						ask(t, v, "add 4", "7 3")
					} else {
						ask(t, v, "add 4", "7 3")
					}
					killedAt(t, verb, v.PID, c.point, c.count, slices.Repeat([]*patch.File{f}, map[string]int{"apply": 1}[verb])...)
					ask(t, v, "show", "7 3")
					if (verb == "apply") == again {
						apply(t, v.PID, f)
					} else if _, err := Revert(context.Background(), v.PID, "", quick); err != nil && !errors.Is(err, ErrNoPatch) {
						t.Fatal(err)
					}
					ask(t, v, "set 5", "9 5")
					if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
						t.Errorf("list afterwards: %+v, %v", s, err)
					}
					v.End()
				})
			}
		}
	}
}

// TestMovedHalf lets the program go on while a patch is half applied: both places are in use, and the report of what finishes or undoes it
// says so.
func TestMovedHalf(t *testing.T) {
	t.Parallel()
	f := growPatch(t, 1, "-DFIXED")
	for _, finish := range []bool{true, false} {
		t.Run(fmt.Sprint(finish), func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= 4; n++ { // so many of the four functions use the new place
				v := victim.Start(t, build(t, "grow", 1, "-DFIXED"))
				ask(t, v, "add 3", "3 3")
				killedAt(t, "apply", v.PID, "written", n, f)
				v.Ask("set 8")
				var r *Report
				var err error
				if finish {
					r, err = Apply(context.Background(), v.PID, []*patch.File{f}, quick)
				} else {
					r, err = Revert(context.Background(), v.PID, "", quick)
				}
				if err != nil {
					t.Fatal(err)
				}
				told := slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "ring was in use at two places") })
				if told != (n < 4) {
					t.Errorf("after %d writes, both places in use: %v; notes %q", n, told, r.Notes)
				}
				v.End()
			}
		})
	}
}
