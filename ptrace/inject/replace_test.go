package inject

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// cumulative is the patch from version 1 of chain.c to version v.
func cumulative(t testing.TB, v int) *patch.File {
	t.Helper()
	return builds.Patch(t, build(t, "chain", 1), build(t, "chain", v))
}

// replace replaces, with words given.
func replace(t testing.TB, pid int, acks []string, files ...*patch.File) *Report {
	t.Helper()
	opt := quick
	opt.Acks = acks
	r, err := Replace(context.Background(), pid, files, opt)
	if err != nil {
		t.Fatalf("replace: %v", err)
	}
	return r
}

// results lists what became of the patches of a report.
func results(r *Report) string {
	var out []string
	for _, p := range r.Patches {
		out = append(out, p.ID[:12]+" "+p.Result)
	}
	return strings.Join(out, ", ")
}

// TestReplace goes from one set of patches to others, each in one stop.
func TestReplace(t *testing.T) {
	t.Parallel()
	one, two, all := chainPatch(t, 1), chainPatch(t, 2), cumulative(t, 4)
	anew := []string{"anew:calls"}
	v := victim.Start(t, build(t, "chain", 1))
	clean := footprint(t, v.PID)
	ask(t, v, "spin 2", "spinning")
	for _, c := range []struct {
		name  string
		files []*patch.File
		acks  []string
		want  string // what became of the patches, newest first where they go
		go_   string
		done  bool
	}{
		{"from nothing", []*patch.File{two, one}, nil, one.ID.Short() + " applied, " + two.ID.Short() + " applied", "", true},
		{"the same", []*patch.File{one, two}, nil, one.ID.Short() + " already applied, " + two.ID.Short() + " already applied", "", false},
		{"all of it by another", []*patch.File{all}, anew,
			two.ID.Short() + " reverted, " + one.ID.Short() + " reverted, " + all.ID.Short() + " applied", "", true},
		{"back to a part", []*patch.File{one}, anew, all.ID.Short() + " reverted, " + one.ID.Short() + " applied", "112 dos", true},
		{"one more", []*patch.File{one, two}, nil, one.ID.Short() + " already applied, " + two.ID.Short() + " applied", "", true},
		{"one less", []*patch.File{one}, nil, two.ID.Short() + " reverted, " + one.ID.Short() + " already applied", "112 dos", true},
	} {
		r := replace(t, v.PID, c.acks, c.files...)
		if got := results(r); got != c.want || r.Done != c.done || r.Verb != "replace" || c.done && r.Tries == 0 {
			t.Fatalf("%s: %s, want %s: %+v", c.name, got, c.want, r)
		}
		if got := v.Ask("go"); c.go_ != "" && got != c.go_ {
			t.Errorf("%s: the program answers %q, want %q", c.name, got, c.go_)
		}
		s, err := Inspect(v.PID, nil)
		if err != nil || len(s.Attention) > 0 {
			t.Fatalf("%s: list: %+v, %v", c.name, s, err)
		}
		n := 0
		for _, p := range s.Patches {
			if p.State == "applied" {
				n++
			}
		}
		if n != len(c.files) {
			t.Errorf("%s: %d patches are in force, want %d", c.name, n, len(c.files))
		}
	}
	if _, err := RevertAll(context.Background(), v.PID, quick); err != nil {
		t.Fatal(err)
	}
	ask(t, v, "go", "10 two")
	if textOf(footprint(t, v.PID)) != textOf(clean) {
		t.Error("the text is not as it was")
	}
}

// TestReplaceRefused changes nothing: where a variable's value would be lost, where a patch leads on from nothing, with --dry-run.
func TestReplaceRefused(t *testing.T) {
	t.Parallel()
	one, two, three, all := chainPatch(t, 1), chainPatch(t, 2), chainPatch(t, 3), cumulative(t, 4)
	dry := quick
	dry.DryRun, dry.Acks = true, []string{"anew:calls"}
	for _, c := range []struct {
		name  string
		files []*patch.File
		opt   Options
		want  []string // what the refusal says; nil: there is none
	}{
		{"variable", []*patch.File{all}, quick, []string{"calls", "would be lost", "--ack anew:calls"}},
		{"from nowhere", []*patch.File{three}, quick, []string{three.ID.Short(), "neither was started nor is what another"}},
		{"dependent", []*patch.File{two}, quick, []string{one.ID.Short(), "not shown to be independent"}},
		{"two for one build", []*patch.File{one, all}, quick, []string{"both are for the same build"}},
		{"dry run", []*patch.File{all}, dry, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "chain", 1))
			apply(t, v.PID, one, two)
			before := footprint(t, v.PID)
			r, err := Replace(context.Background(), v.PID, c.files, c.opt)
			if c.want == nil && (err != nil || !r.DryRun || len(r.Patches) != 3) || c.want != nil && !errors.Is(err, patch.ErrRefused) {
				t.Fatalf("replace: %v, %+v", err, r)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the refusal %q does not say %q", err, w)
				}
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
		})
	}
}

// TestReplaceMoved replaces patches that give a variable another place: what it holds goes along, or its name is in the refusal.
func TestReplaceMoved(t *testing.T) {
	t.Parallel()
	small, large := growPatch(t, 1), builds.Patch(t, build(t, "grow", 1), build(t, "grow", 3))
	v := victim.Start(t, build(t, "grow", 1))
	ask(t, v, "add 3", "3 3")
	ask(t, v, "add 4", "7 3")
	apply(t, v.PID, small)
	ask(t, v, "set 5", "9 5")
	r := replace(t, v.PID, nil, large)
	if len(r.Patches) != 2 || len(r.Patches[1].Moved) != 1 {
		t.Errorf("report: %+v", r)
	}
	ask(t, v, "set 6", "10 6")
	replace(t, v.PID, nil, small)
	ask(t, v, "add 10", "20 6")
	before := footprint(t, v.PID)
	_, err := Replace(context.Background(), v.PID, []*patch.File{large}, quick)
	if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), "--ack rest:ring") {
		t.Fatalf("replace: %v, want a refusal that names the variable", err)
	}
	if footprint(t, v.PID) != before {
		t.Error("the process has changed")
	}
	replace(t, v.PID, []string{"rest:ring"}, large)
	ask(t, v, "show", "10 6")
	if _, err := RevertAll(context.Background(), v.PID, quick); err != nil {
		t.Fatal(err)
	}
	ask(t, v, "show", "10 6")
	v.End()
}

// TestReplaceBetween replaces three patches by two of them: the third is taken out from between.
func TestReplaceBetween(t *testing.T) {
	t.Parallel()
	first, second := betweenPatches(t)
	v := victim.Start(t, build(t, "between", 1))
	apply(t, v.PID, first, second)
	r := replace(t, v.PID, nil, second)
	if got, want := results(r), first.ID.Short()+" reverted, "+second.ID.Short()+" already applied"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	ask(t, v, "go", "12 202 36 2")
	r = replace(t, v.PID, nil, first, second)
	if got, want := results(r), second.ID.Short()+" already applied, "+first.ID.Short()+" applied"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	ask(t, v, "go", "29 202 87 2")
	replace(t, v.PID, nil, second)
	replace(t, v.PID, nil, first)
	ask(t, v, "go", "29 102 87 2")
	v.End()
}

// TestKilledReplacing kills a replace at every point. The process then is fully old or fully new as soon as the next command is done, whichever
// that is.
func TestKilledReplacing(t *testing.T) {
	t.Parallel()
	one, all := chainPatch(t, 1), cumulative(t, 4)
	next := map[string]func(t *testing.T, pid int) string{ // what the program answers afterwards
		"replace": func(t *testing.T, pid int) string {
			replace(t, pid, []string{"anew:calls"}, all)
			return "214 dos" // behind the number of calls
		},
		"back": func(t *testing.T, pid int) string {
			replace(t, pid, []string{"anew:calls"}, one)
			return "112 dos"
		},
		"revert all": func(t *testing.T, pid int) string {
			if _, err := RevertAll(context.Background(), pid, quick); err != nil {
				t.Fatal(err)
			}
			return "10 two"
		},
	}
	for _, c := range []struct {
		point string
		count int
	}{
		{"journal-written", 1}, {"staged", 1}, {pointBegun, 1}, {pointGated, 1}, {pointGated, 2}, {pointGo, 1}, {pointText, 1}, {pointText, 2},
		{pointEnded, 1},
	} {
		for name, do := range next {
			t.Run(fmt.Sprintf("%s-%d-%s", c.point, c.count, name), func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, build(t, "chain", 1))
				apply(t, v.PID, one)
				killedAt(t, "replace", v.PID, c.point, c.count, all)
				if got := v.Ask("go"); got != "112 dos" && got != "1214 dos" {
					t.Errorf("after the death: the program answers %q: neither the old patch nor the new one", got)
				}
				want := do(t, v.PID)
				if got := v.Ask("go"); !strings.HasSuffix(got, want) {
					t.Errorf("afterwards: the program answers %q, want %q", got, want)
				}
				if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
					t.Errorf("list: %+v, %v", s, err)
				}
				v.End()
			})
		}
	}
}

// TestReplaceHalfDone ends a replace, of functions that cannot all be gated, at every point of its commit. Whatever the user asks for then is
// done with all of them: none stays of another version than the others.
func TestReplaceHalfDone(t *testing.T) {
	t.Parallel()
	const flag = "-DFIXED"
	// The old patch does not have the functions that cannot be gated.
	first := build(t, "gates", 1, flag)
	one, all := builds.Patch(t, first, build(t, "gates", 2, flag, "-DW=1")), builds.Patch(t, first, build(t, "gates", 3, flag))
	answers := map[int]string{1: versions(1) + " 11", 2: versions(2) + " 11", 3: versions(3) + " 33"}
	start := func(t *testing.T) *victim.Victim {
		v := victim.Start(t, first)
		apply(t, v.PID, one)
		return v
	}
	ctx := context.Background()
	commands := []struct {
		name string
		do   func(pid int) (*Report, error)
		want int // version
	}{
		{"replace", func(pid int) (*Report, error) { return Replace(ctx, pid, []*patch.File{all}, quick) }, 3},
		{"replace back", func(pid int) (*Report, error) { return Replace(ctx, pid, []*patch.File{one}, quick) }, 2},
		{"apply the new one", func(pid int) (*Report, error) { return Apply(ctx, pid, []*patch.File{all}, quick) }, 3},
		{"apply the old one", func(pid int) (*Report, error) { return Apply(ctx, pid, []*patch.File{one}, quick) }, 2},
		{"revert the new one", func(pid int) (*Report, error) { return Revert(ctx, pid, all.ID.Short(), quick) }, 2},
		{"revert the old one", func(pid int) (*Report, error) { return Revert(ctx, pid, one.ID.Short(), quick) }, 3},
		{"revert all", func(pid int) (*Report, error) { return RevertAll(ctx, pid, quick) }, 1},
	}
	half := 0
	for n := 0; ; n++ {
		v := start(t)
		_, err := Replace(ctx, v.PID, []*patch.File{all}, dieAt(n))
		if err == nil {
			break
		}
		s, ierr := Inspect(v.PID, nil)
		if !errors.Is(err, errKilled) || ierr != nil {
			t.Fatalf("point %d: %v, list: %v", n, err, ierr)
		}
		states := make(map[string]int)
		for _, p := range s.Patches {
			states[p.State]++
		}
		v.End()
		if states["unfinished"] == 0 {
			continue
		}
		half++
		for _, c := range commands {
			t.Run(fmt.Sprintf("%d-%s", n, c.name), func(t *testing.T) {
				t.Parallel()
				v := start(t)
				if _, err := Replace(ctx, v.PID, []*patch.File{all}, dieAt(n)); !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				if _, err := c.do(v.PID); err != nil {
					t.Fatal(err)
				}
				ask(t, v, "go", answers[c.want])
				if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
					t.Errorf("list: %+v, %v", s, err)
				}
				v.End()
			})
		}
	}
	if half == 0 {
		t.Error("at no point was the replace half done")
	}
}

// TestRevertKilledReplace reverts a replace that was killed on one side of its commit or the other. Behind it, what it brought goes, though the
// same command has settled that what it reverted is gone.
func TestRevertKilledReplace(t *testing.T) {
	t.Parallel()
	first := build(t, "gates", 1)
	one, all := builds.Patch(t, first, build(t, "gates", 2)), builds.Patch(t, first, build(t, "gates", 3))
	for _, c := range []struct {
		name, point, id string
		want            int // version
	}{
		{"newest, behind the commit", pointGo, "", 1},
		{"newest, in front of it", pointGated, "", 2},
		{"what came", pointGo, all.ID.Short(), 1},
		{"what went", pointGo, one.ID.Short(), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, first)
			apply(t, v.PID, one)
			killedAt(t, "replace", v.PID, c.point, 1, all)
			if r := revert(t, v.PID, c.id); !r.Done || len(r.Patches) == 0 {
				t.Errorf("revert: %+v", r)
			}
			ask(t, v, "go", versions(c.want))
			v.End()
		})
	}
}
