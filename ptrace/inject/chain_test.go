package inject

import (
	"context"
	"errors"
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

// betweenPatches are the two patches of between.c.
func betweenPatches(t testing.TB, flags ...string) (first, second *patch.File) {
	t.Helper()
	one, two, three := build(t, "between", 1, flags...), build(t, "between", 2, flags...), build(t, "between", 3, flags...)
	return builds.Patch(t, one, two), builds.Patch(t, two, three)
}

// TestBetween takes a patch out from under a later one that knows nothing of it, under load, and applies it again.
func TestBetween(t *testing.T) {
	t.Parallel()
	first, second := betweenPatches(t)
	v := victim.Start(t, build(t, "between", 1))
	clean := footprint(t, v.PID)
	ask(t, v, "load", "12 102 36 2")
	apply(t, v.PID, first)
	apply(t, v.PID, second)
	ask(t, v, "go", "29 202 87 2")
	r := revert(t, v.PID, first.ID.Short())
	ask(t, v, "go", "12 202 36 2")
	if len(r.Notes) == 0 || !strings.Contains(strings.Join(r.Notes, "\n"), "stays in force without patch "+first.ID.Short()) {
		t.Errorf("notes: %q", r.Notes)
	}
	s, err := Inspect(v.PID, nil)
	missing := first.ID.Short() + " is missing under " + second.ID.Short()
	if err != nil || len(s.Attention) > 0 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], missing) {
		t.Errorf("list: %+v, %v", s, err)
	}
	// Nothing else fits, and the refusal names what is missing; what is in force is.
	third := builds.Patch(t, build(t, "between", 3), build(t, "between", 1, "-DBOTH"))
	refused(t, v.PID, []*patch.File{third}, "no build runs", first.ID.Short()+" is missing")
	if r := apply(t, v.PID, second); r.Done {
		t.Errorf("applied again: %+v", r)
	}
	if r = apply(t, v.PID, first); !r.Patches[0].Reused {
		t.Errorf("the payload was not used again: %+v", r)
	}
	ask(t, v, "go", "29 202 87 2")
	if s, err = Inspect(v.PID, nil); err != nil || len(s.Notes) > 0 || len(s.Patches) != 2 || s.Patches[0].ID != first.ID.String() {
		t.Errorf("list: %+v, %v", s, err)
	}
	revert(t, v.PID, first.ID.Short())
	if r, err := RevertAll(context.Background(), v.PID, quick); err != nil || len(r.Patches) != 1 {
		t.Fatalf("revert all: %+v, %v", r, err)
	}
	ask(t, v, "go", "12 102 36 2")
	if textOf(footprint(t, v.PID)) != textOf(clean) {
		t.Error("the text is not as it was")
	}
}

// TestDependent refuses to take a patch out from under a later one, and says by what they know of each other.
func TestDependent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		flags []string
		want  string
	}{
		{"calls", []string{"-DCALLS"}, "its beta leads to alpha"},
		{"through", []string{"-DTHROUGH"}, "its beta leads to alpha"},
		{"variable", []string{"-DVARIABLE"}, "its beta leads to added"},
		{"inlined", []string{"-DINLINED"}, "code of half, which is inlined"},
		{"back", []string{"-DBACK"}, "leads to beta"},
		{"both", []string{"-DBOTH"}, "both have alpha"},
		{"constant", []string{"-DCONSTANT"}, "renews the constant limits"},
		{"layout", []string{"-DLAYOUT"}, "needed the word"},
		{"no debug information", []string{"-g0"}, "does not say all that its code leads to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			first, second := betweenPatches(t, c.flags...)
			v := victim.Start(t, build(t, "between", 1, c.flags...))
			old := v.Ask("go")
			apply(t, v.PID, first)
			apply(t, v.PID, second)
			now, before := v.Ask("go"), footprint(t, v.PID)
			_, err := Revert(context.Background(), v.PID, first.ID.Short(), quick)
			if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), second.ID.Short()) {
				t.Fatalf("revert: %v, want a refusal that says %q", err, c.want)
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
			ask(t, v, "go", now)
			ids := []string{first.ID.Short(), second.ID.Short()}
			if r, err := RevertIDs(context.Background(), v.PID, ids, quick); err != nil || len(r.Patches) != 2 || r.Tries == 0 {
				t.Fatalf("revert both: %+v, %v", r, err)
			}
			ask(t, v, "go", old)
			v.End()
		})
	}
}

// TestModulesChain has patches of a program and of its library in one chain of transactions.
func TestModulesChain(t *testing.T) {
	t.Parallel()
	first, second, program := builds.Patch(t, lib(t, 1), lib(t, 2)), builds.Patch(t, lib(t, 2), lib(t, 4)), builds.Patch(t, host(t, 1), host(t, 2))
	v := victim.Start(t, host(t, 1))
	clean := footprint(t, v.PID)
	ask(t, v, "go", "7 22")
	apply(t, v.PID, program, first)
	apply(t, v.PID, second)
	now := v.Ask("go")
	if !strings.HasPrefix(now, "70 ") || now == "70 24" {
		t.Errorf("the program answers %q", now)
	}
	// What is below in the library is not independent; what is in the program is, and comes back.
	_, err := Revert(context.Background(), v.PID, first.ID.Short(), quick)
	if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), second.ID.Short()) {
		t.Fatalf("revert of the first: %v", err)
	}
	revert(t, v.PID, program.ID.Short())
	if got := v.Ask("go"); !strings.HasPrefix(got, "7 ") {
		t.Errorf("without the program's patch it answers %q", got)
	}
	// The newest transaction that has something in force is that of the second patch.
	if r := revert(t, v.PID, ""); len(r.Patches) != 1 || r.Patches[0].ID != second.ID.String() {
		t.Errorf("revert: %+v", r)
	}
	ask(t, v, "go", "7 24")
	// From the first alone to the program's alone, and to all three: in one stop each, in both modules.
	r := replace(t, v.PID, nil, program)
	if got, want := results(r), first.ID.Short()+" reverted, "+program.ID.Short()+" applied"; got != want || r.Tries != 1 {
		t.Errorf("replace: %s, want %s", got, want)
	}
	ask(t, v, "go", "70 22")
	replace(t, v.PID, nil, second, program, first)
	if r, err := RevertAll(context.Background(), v.PID, quick); err != nil || len(r.Patches) != 3 || r.Tries != 1 {
		t.Fatalf("revert all: %+v, %v", r, err)
	}
	ask(t, v, "go", "7 22")
	if textOf(footprint(t, v.PID)) != textOf(clean) {
		t.Error("the text is not as it was")
	}
	v.End()
}

// TestLoadedElsewhere patches a library again each time that it has been unloaded and loaded at one of two places. What the places were patched
// with is found again, so that the memory in use stays the same.
func TestLoadedElsewhere(t *testing.T) {
	t.Parallel()
	const packed = "-Wl,-z,max-page-size=4096" // the loader aligns segments, on arm64 to 64 KiB, and would find another place each time
	l, other := lib(t, 1, packed), lib(t, 2, packed, "-Wl,-soname,other.so")
	first, second := builds.Patch(t, l, lib(t, 2, packed)), builds.Patch(t, lib(t, 2, packed), lib(t, 4, packed))
	v := victim.Start(t, build(t, "host", 1))
	starts, journals := make(map[uint64]bool), 0
	for round := range 6 {
		n := 1
		if round%2 == 1 { // the other takes the place that it had
			ask(t, v, "open "+other, "opened")
			n = 2
		}
		ask(t, v, "open "+l, "opened")
		apply(t, v.PID, first)
		r := apply(t, v.PID, second)
		starts[uint64(r.Patches[0].Start)] = true
		if r.Patches[0].Reused != (round >= 2) {
			t.Errorf("round %d: used again: %v", round, r.Patches[0].Reused)
		}
		if round%3 == 2 {
			replace(t, v.PID, nil, first)
		}
		s, err := Inspect(v.PID, nil)
		if err != nil || len(s.Attention) > 0 || len(s.Patches) == 0 || s.Patches[0].ID != first.ID.String() {
			t.Fatalf("round %d: list: %+v, %v", round, s, err)
		}
		got := strings.Count(footprint(t, v.PID), journalPath)
		if journals = max(journals, got); round >= 2 && got > 4 {
			t.Errorf("round %d: %d journals for two patches at two places", round, got)
		}
		for range n {
			ask(t, v, "close", "closed")
		}
	}
	if len(starts) != 2 || journals != 4 {
		t.Errorf("the library was at %d places, with %d journals", len(starts), journals)
	}
	v.End()
}
