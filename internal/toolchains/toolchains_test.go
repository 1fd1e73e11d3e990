package toolchains

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/trial"
	"hotpatch/internal/truth"
	"hotpatch/internal/victim"
)

var (
	allRows = flag.Bool("all-rows", false, "run the whole covering array, instead of its first rows")
	seed    = flag.Uint64("seed", 1, "of the covering array")
)

// How many rows an ordinary run takes: the first ones, which cover most; and one in an emulated machine.
const (
	ordinaryRows = 30
	emulatedRows = 3
)

// available drops the values whose tools are not there, visibly.
func available(t *testing.T, axes []Axis) []Axis {
	for i := range axes {
		axes[i].Values = slices.DeleteFunc(axes[i].Values, func(v Value) bool {
			if v.Needs == "" {
				return false
			}
			_, err := exec.LookPath(v.Needs)
			if err != nil {
				t.Errorf("%s is left out: %v (scripts/setup installs it)", v.Name, err)
			}
			return err != nil
		})
	}
	return axes
}

// TestToolchains compares builds of the same sources, for which nothing may be reported, and builds before and after the
// edit of one source, for which exactly what the compilers' own objects show may be. Patches that can be made are applied.
func TestToolchains(t *testing.T) {
	target := victim.Native(t)
	axes := available(t, Axes(target.Machine))
	rows, pairs := Cover(axes, Exclusions(target.Machine), *seed)
	t.Logf("%d pairs of values in %d rows, each linked three times", pairs, len(rows))
	if n := victim.Scale(ordinaryRows, emulatedRows); !*allRows && len(rows) > n {
		rows = rows[:n]
	}
	for _, row := range rows {
		t.Run(row.Name(axes), func(t *testing.T) {
			t.Parallel()
			check(t, &Combination{target, axes, row})
		})
	}
}

// check builds and compares one combination.
func check(t *testing.T, c *Combination) {
	t.Helper()
	old, again, edited := c.Build(t, Old), c.Build(t, Again), c.Build(t, Edited)
	compareBuilds(t, c, "again", old, again)
	r := compareBuilds(t, c, "edited", old, edited)
	if len(r.Missing) > 0 {
		r = builds.Compare(t, old.File, edited.File, r.Missing)
	}
	if r.Patch == nil || !c.runs() {
		return
	}
	f, err := r.Patch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("applied live: %d changes", len(r.Changes))
	before, after := c.answers(t)
	c.live(t, f, trial.Answers{Before: before, After: after, Reverted: before}, old)
}

// compareBuilds compares two builds, and the answer with the truth. What a row is known to report beyond it is logged.
func compareBuilds(t *testing.T, c *Combination, what string, old, new Build) *elfdiff.Result {
	t.Helper()
	if sameFile(t, old.File, new.File) {
		t.Logf("%s: the same bytes", what) // rustc leaves nothing of the link to chance
		return &elfdiff.Result{}
	}
	r := builds.Compare(t, old.File, new.File, nil)
	want := differences(t, old, new)
	from, to := mustLinked(t, old.File), mustLinked(t, new.File)
	reported := make(map[string]bool)
	var found []finding
	for i := range r.Changes {
		change := &r.Changes[i]
		if change.What == "file" {
			continue // says why the others cannot be delivered
		}
		names := namesOf(change, from, to)
		for _, n := range names {
			reported[n] = true
		}
		if !slices.ContainsFunc(names, func(n string) bool { return want[n] }) {
			found = append(found, finding{change, names, from, to, old, new})
		}
	}
	explained, rest := c.known(found)
	for why, n := range explained {
		t.Logf("%s: %d more than there are: %s", what, n, why)
	}
	for i := range rest {
		change := rest[i].change
		t.Errorf("%s: invented: %s %s %s (%v) %s", what, change.What, change.Change, change.Name, change.Reasons, change.Why)
	}
	for n := range want {
		if !reported[n] {
			t.Errorf("%s: missed: %s", what, n)
		}
	}
	return r
}

// sameFile reports whether two files have equal bytes.
func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// namesOf lists the plain names of what a change speaks of.
func namesOf(c *patch.Change, from, to *linked) []string {
	names := plainName(c.Name) + " "
	if c.Old != nil {
		names += from.at[uint64(c.Old.Addr)]
	}
	if c.New != nil {
		names += to.at[uint64(c.New.Addr)]
	}
	return strings.Fields(names)
}

// differences returns the plain names of the functions and objects that differ between two builds.
func differences(t *testing.T, old, new Build) map[string]bool {
	t.Helper()
	report, err := truth.Compare(units(old), units(new))
	if err != nil {
		t.Fatal(err)
	}
	from, to := mustLinked(t, old.File), mustLinked(t, new.File)
	want := make(map[string]bool)
	for _, i := range report.Items {
		for _, name := range i.Names {
			// What is in one build only, or not linked at all, is seen below. Labels of intermediate files count where they are read.
			differs := i.Change == truth.Changed || i.Change == truth.Resized || i.Change == truth.Undecided
			if n := plainName(name); differs && !strings.HasPrefix(n, ".L") && from.names[n] && to.names[n] {
				want[n] = true
			}
		}
	}
	for n, ok := range from.names {
		if ok && !to.names[n] {
			want[n] = true
		}
	}
	for n, ok := range to.names {
		if ok && !from.names[n] {
			want[n] = true
		}
	}
	return want
}

// units lists the objects of a build for the truth.
func units(b Build) []truth.Unit {
	var all []truth.Unit
	for i, file := range b.Objects {
		all = append(all, truth.Unit{Name: fmt.Sprint(i), Twin: file})
	}
	return all
}

func mustLinked(t *testing.T, path string) *linked {
	t.Helper()
	l, err := readLinked(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
