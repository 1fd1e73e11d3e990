package inject

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// TestChain applies three patches one after the other and takes them back.
func TestChain(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	clean := footprint(t, v.PID)
	v.Send("go")
	v.Expect("10 two")
	answers := []string{"112 dos", "2212 dos", "3214 dos"}
	for i, want := range answers {
		r := apply(t, v.PID, chainPatch(t, i+1))
		if !r.Done || r.Jumps == 0 || len(r.Patches) != 1 || r.Patches[0].Result != "applied" {
			t.Fatalf("report of patch %d: %+v", i+1, r)
		}
		v.Send("go")
		v.Expect(want)
	}
	for i, want := range []string{"4212 dos", "112 dos", "10 two"} {
		r := revert(t, v.PID, "")
		if r.Patches[0].Result != "reverted" {
			t.Fatalf("report of revert %d: %+v", i+1, r)
		}
		if last := i == 2; last != (len(r.Notes) == 1 && strings.HasPrefix(r.Notes[0], "discount was added")) {
			t.Errorf("notes of revert %d: %q", i+1, r.Notes)
		}
		v.Send("go")
		v.Expect(want)
	}
	if got, want := textOf(footprint(t, v.PID)), textOf(clean); got != want {
		t.Errorf("text after the reverts:\n%s\nbefore:\n%s", got, want)
	}
	if _, err := Revert(context.Background(), v.PID, "", quick); !errors.Is(err, ErrNoPatch) {
		t.Errorf("a fourth revert: %v, want ErrNoPatch", err)
	}
	v.End()
}

// TestTogether applies three patches that lead on from one another in one transaction, given in the wrong order.
func TestTogether(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	r := apply(t, v.PID, chainPatch(t, 3), chainPatch(t, 1), chainPatch(t, 2))
	if r.Tries != 1 || len(r.Patches) != 3 {
		t.Errorf("report: %+v", r)
	}
	v.Send("go")
	v.Expect("1214 dos")
	s, err := Inspect(v.PID, nil)
	if err != nil || len(s.Patches) != 3 || len(s.Attention) != 0 {
		t.Fatalf("list: %+v, %v", s, err)
	}
	for _, c := range []struct{ id, want string }{{chainPatch(t, 3).ID.Short(), "2212 dos"}, {"", "10 two"}} {
		r = revert(t, v.PID, c.id)
		v.Send("go")
		v.Expect(c.want)
	}
	// What the transaction has left in force goes together, newest first.
	if r.Tries != 1 || len(r.Patches) != 2 || r.Patches[0].ID != chainPatch(t, 2).ID.String() || r.Patches[0].From != r.Patches[0].New || r.Patches[0].To != r.Patches[1].From {
		t.Errorf("revert: %+v", r)
	}
	for _, f := range r.Patches[1].Funcs {
		if f.Change == "changed" && (f.From != f.Body || f.To != f.Entry) {
			t.Errorf("%s goes from %#x to %#x: %+v", f.Name, f.From, f.To, f)
		}
	}
	v.End()
}

// TestTwice applies a patch twice, reverts it twice, and applies it again: its memory is used again and its
// variables keep their values.
func TestTwice(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 2))
	f := chainPatch(t, 2)
	first := apply(t, v.PID, f)
	v.Send("go")
	v.Expect("1212 dos")
	before := footprint(t, v.PID)
	r := apply(t, v.PID, f)
	if r.Done || r.Patches[0].Result != "already applied" {
		t.Errorf("second apply: %+v", r)
	}
	if footprint(t, v.PID) != before {
		t.Error("the second apply changed the process")
	}
	revert(t, v.PID, f.ID.Short())
	if _, err := Revert(context.Background(), v.PID, f.ID.Short(), quick); !errors.Is(err, ErrNoPatch) {
		t.Errorf("second revert: %v, want ErrNoPatch", err)
	}
	for i := 0; i < 3; i++ {
		again := apply(t, v.PID, f)
		if !again.Patches[0].Reused || again.Patches[0].Payload != first.Patches[0].Payload || again.Staged != 0 {
			t.Errorf("the payload was not used again: %+v", again)
		}
		s, err := Inspect(v.PID, nil)
		if err != nil || len(s.Patches) != 1 || s.Patches[0].State != "applied" {
			t.Errorf("list: %+v, %v", s, err)
		}
		revert(t, v.PID, "")
	}
	if n := strings.Count(footprint(t, v.PID), journalPath); n != 1 {
		t.Errorf("%d journals are mapped, want 1", n)
	}
	v.End()
}

// TestOutOfOrder refuses to revert a patch that another is based on.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	one, two := chainPatch(t, 1), chainPatch(t, 2)
	apply(t, v.PID, one, two)
	before := footprint(t, v.PID)
	_, err := Revert(context.Background(), v.PID, one.ID.Short(), quick)
	if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), two.ID.Short()) {
		t.Errorf("revert of the first: %v", err)
	}
	if footprint(t, v.PID) != before {
		t.Error("the refused revert changed the process")
	}
	v.End()
}

// TestBusy waits for a function that a thread is in, and gives up without a trace when it may not wait.
func TestBusy(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	v.Send("hold")
	v.Expect("held")
	before := footprint(t, v.PID)
	f := chainPatch(t, 1)
	var busy *BusyError
	for i := 0; i < 3; i++ { // the new thread may not be there yet
		_, err := Apply(context.Background(), v.PID, []*patch.File{f}, Options{})
		if errors.As(err, &busy) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		revert(t, v.PID, "")
	}
	if busy == nil || !errors.Is(busy, ErrBusy) || len(busy.Threads) != 1 || busy.Threads[0].Func != "busy" || len(busy.Threads[0].Frames) < 3 {
		t.Fatalf("busy: %+v", busy)
	}
	if textOf(footprint(t, v.PID)) != textOf(before) {
		t.Error("the failed apply changed the text")
	}
	waits := make(chan string, 1)
	opt := quick
	opt.Progress = func(s string) {
		if strings.Contains(s, "busy") {
			select {
			case waits <- s:
			default:
			}
		}
	}
	go func() {
		<-waits
		v.Send("release")
	}()
	r, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
	if err != nil || r.Tries < 2 {
		t.Fatalf("apply that waits: %+v, %v", r, err)
	}
	v.Expect("busy 41")
	v.Send("go")
	v.Expect("112 dos")
	v.End()
}

// TestSpinning applies and reverts under threads that call the function all the time.
func TestSpinning(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	v.Send("spin 3")
	v.Expect("spinning")
	f := chainPatch(t, 1)
	for i := 0; i < 20; i++ {
		apply(t, v.PID, f)
		revert(t, v.PID, "")
	}
	v.Send("go")
	v.Expect("10 two")
	v.End()
}

// TestCancelled leaves no trace of an apply whose context ends while it waits.
func TestCancelled(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	before := footprint(t, v.PID)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Apply(ctx, v.PID, []*patch.File{chainPatch(t, 1)}, quick); !errors.Is(err, context.Canceled) {
		t.Errorf("apply: %v", err)
	}
	if footprint(t, v.PID) != before {
		t.Error("the cancelled apply changed the process")
	}
	v.End()
}

// TestDryRun plans everything and changes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	before := footprint(t, v.PID)
	r, err := Apply(context.Background(), v.PID, []*patch.File{chainPatch(t, 1)}, Options{DryRun: true})
	if err != nil || !r.DryRun || !r.Done || r.Jumps == 0 || len(r.Unread) == 0 || len(r.Patches) != 1 {
		t.Errorf("dry run: %+v, %v", r, err)
	}
	if footprint(t, v.PID) != before {
		t.Error("the dry run changed the process")
	}
	v.End()
}

// TestWrongBuild refuses patches that are not for what runs.
func TestWrongBuild(t *testing.T) {
	t.Parallel()
	one, two := build(t, "chain", 1), build(t, "chain", 2)
	f := chainPatch(t, 1)
	t.Run("swapped", func(t *testing.T) {
		v := victim.Start(t, two)
		refused(t, v.PID, []*patch.File{f}, "the new build is running already", fileBuildID(t, two))
	})
	t.Run("other", func(t *testing.T) {
		v := victim.Start(t, one)
		refused(t, v.PID, []*patch.File{chainPatch(t, 2)}, "not what runs", fileBuildID(t, one), fileBuildID(t, two))
	})
	t.Run("no build-id", func(t *testing.T) {
		v := victim.Start(t, build(t, "chain", 1, "-Wl,--build-id=none"))
		nameless := *f.Patch
		nameless.Old.HasBuildID, nameless.Old.ID = false, make([]byte, 32)
		refused(t, v.PID, []*patch.File{{Patch: &nameless, ID: f.ID, Raw: f.Raw}}, "no build-id")
		refused(t, v.PID, []*patch.File{f}, "not what runs")
	})
}

// TestTable renews a constant table with relocated fields where it is, and puts the old one back.
func TestTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{name: "rela"},
		{name: "relr", flags: []string{"-Wl,-z,pack-relative-relocs"}},
		{name: "bind now", flags: []string{"-Wl,-z,now"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "table", 1, c.flags...))
			before := footprint(t, v.PID)
			ask(t, v, "0", "first 6")
			ask(t, v, "1", "second 20")
			r := apply(t, v.PID, builds.Patch(t, build(t, "table", 1, c.flags...), build(t, "table", 2, c.flags...)))
			if len(r.Patches[0].Consts) != 1 {
				t.Errorf("report: %+v", r)
			}
			ask(t, v, "0", "the first 19")
			ask(t, v, "1", "the second 30")
			revert(t, v.PID, "")
			ask(t, v, "0", "first 6")
			ask(t, v, "1", "second 20")
			if textOf(footprint(t, v.PID)) != textOf(before) {
				t.Error("the text is not as it was")
			}
			v.End()
		})
	}
}

// TestTableChain renews a table in a process whose build was changed by an earlier patch. With DT_RELR nothing in the
// process says what the started build had in the table, and strings cannot be traced through the first patch: refused.
func TestTableChain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		flags   []string
		refused bool
	}{
		{name: "rela"},
		{name: "relr", flags: []string{"-Wl,-z,pack-relative-relocs"}, refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "table", 1, c.flags...))
			apply(t, v.PID, builds.Patch(t, build(t, "table", 1, c.flags...), build(t, "table", 3, c.flags...)))
			ask(t, v, "1", "second 120")
			second := builds.Patch(t, build(t, "table", 3, c.flags...), build(t, "table", 4, c.flags...))
			if c.refused {
				refused(t, v.PID, []*patch.File{second}, "table", "DT_RELR", "from the started build")
				return
			}
			apply(t, v.PID, second)
			ask(t, v, "0", "the first 19")
			ask(t, v, "1", "the second 30")
			revert(t, v.PID, "")
			ask(t, v, "1", "second 120")
			revert(t, v.PID, "")
			ask(t, v, "1", "second 20")
			v.End()
		})
	}
}

// TestQuietWait does not stop the process over and over while the busy thread is seen to wait where it was.
func TestQuietWait(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	before := footprint(t, v.PID)
	ask(t, v, "hold", "held")
	f := chainPatch(t, 1)
	var r *Report
	var err error
	for range 3 { // the new thread may not be there yet
		r, err = Apply(context.Background(), v.PID, []*patch.File{f}, Options{Wait: time.Duration(victim.Scale(6, 40)) * quietNap})
		if err != nil {
			break
		}
		revert(t, v.PID, "")
	}
	if !errors.Is(err, ErrBusy) || r.Tries < 2 || r.Tries > 10 {
		t.Errorf("%d attempts, %v", r.Tries, err)
	}
	v.Send("release")
	v.Expect("busy 41")
	if textOf(footprint(t, v.PID)) != textOf(before) {
		t.Error("the text has changed")
	}
	v.End()
}
