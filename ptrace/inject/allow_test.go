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

func allowing(names ...string) Options {
	opt := quick
	opt.AllowActive = names
	return opt
}

func iparaPatch(t *testing.T, from, to int, flags ...string) *patch.File {
	t.Helper()
	return builds.Patch(t, build(t, "ipara", from, flags...), build(t, "ipara", to, flags...))
}

// totals asks the loop of ipara.c how it does.
func totals(t *testing.T, v *victim.Victim) (total int64) {
	t.Helper()
	var wrong int
	line := v.Ask("")
	if _, err := fmt.Sscanf(line, "wrong %d total %d", &wrong, &total); err != nil || wrong != 0 {
		t.Fatalf("victim said %q", line)
	}
	return total
}

// TestAllowActive lets a loop that never returns go on in its old version. It calls the new version of what it calls.
func TestAllowActive(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "ipara", 1), "keeps")
	f := []*patch.File{iparaPatch(t, 1, 2)}
	_, err := Apply(context.Background(), v.PID, f, Options{})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Threads[0].Func != "loop" || busy.Threads[0].Loop != loopStart || !strings.Contains(busy.Help[0], "--allow-active loop") {
		t.Fatalf("apply: %v, want loop busy", err)
	}
	r, err := Apply(context.Background(), v.PID, f, allowing("loop"))
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "(ipara) stays in loop: that call goes on in the version that it began in") {
		t.Errorf("notes: %s", notes)
	}
	falls := false
	for before := totals(t, v); !falls; { // calls of the new add()
		now := totals(t, v)
		falls, before = now < before, now
	}
	// The loop is still that of version 1, which a version of add() that asks more must not meet.
	if _, err = Apply(context.Background(), v.PID, []*patch.File{iparaPatch(t, 2, 3)}, Options{}); !errors.As(err, &busy) || busy.Threads[0].Func != "loop" {
		t.Errorf("another patch: %v, want loop busy", err)
	}
	revert(t, v.PID, "")
	for rises, before := false, totals(t, v); !rises; {
		now := totals(t, v)
		rises, before = now > before, now
	}
	v.End()
}

// TestAllowActiveRefused: the called function writes a register in which the loop keeps its counter; the loop branches into the jump; nothing of
// that name is replaced.
func TestAllowActiveRefused(t *testing.T) {
	t.Parallel()
	result := map[string]string{"amd64": "rax", "arm64": "x0"}[victim.Native(t).Name]
	for _, c := range []struct {
		name  string
		to    int
		flags []string
		allow string
		want  []string
	}{
		{name: "register", to: 3, allow: "loop", want: []string{"loop", "calls add", "it writes", result}},
		{name: "head", to: 2, flags: []string{"-DHEAD"}, allow: "loop", want: []string{"loop", "branches to the instructions that are replaced"}},
		{name: "no debug information", to: 2, flags: []string{"-g0"}, allow: "loop", want: []string{"calls add", "debug information"}},
		{name: "not replaced", to: 2, allow: "answer", want: []string{"answer", "it is not replaced"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, build(t, "ipara", 1, c.flags...), "keeps")
			f := iparaPatch(t, 1, c.to, c.flags...)
			before := footprint(t, v.PID)
			_, err := Apply(context.Background(), v.PID, []*patch.File{f}, allowing(c.allow))
			for _, w := range c.want {
				if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not say %q", err, w)
				}
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
			totals(t, v)
			v.End()
		})
	}
}

// TestAllowActiveChain: a main loop stays in version 1 while patch after patch changes what it calls, and back.
func TestAllowActiveChain(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "ipara", 1), "server")
	ask(t, v, "x", "handle 1 of 2")
	for _, c := range []struct{ from, to int }{{1, 4}, {4, 5}} {
		opt := allowing("serve")
		r, err := Apply(context.Background(), v.PID, []*patch.File{iparaPatch(t, c.from, c.to)}, opt)
		if err != nil {
			t.Fatal(err)
		}
		stays := strings.Contains(strings.Join(r.Notes, "\n"), "stays in serve")
		if want := c.from == 1; stays != want { // then nobody is in the version that is replaced
			t.Errorf("%d to %d: %q", c.from, c.to, r.Notes)
		}
		ask(t, v, "x", fmt.Sprintf("handle %d of 2", c.to))
	}
	for _, want := range []string{"handle 4 of 2", "handle 1 of 2"} {
		revert(t, v.PID, "")
		ask(t, v, "x", want)
	}
	v.End()
}

// TestAllowActiveRevert lets a call of a body that goes away end in it.
func TestAllowActiveRevert(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	apply(t, v.PID, chainPatch(t, 1))
	ask(t, v, "hold", "held")
	var busy *BusyError
	if _, err := Revert(context.Background(), v.PID, "", Options{}); !errors.As(err, &busy) || busy.Threads[0].Func != "busy" {
		t.Fatalf("revert: %v, want busy busy", err)
	}
	r, err := Revert(context.Background(), v.PID, "", allowing("busy"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(r.Notes, "\n"), "stays in busy") {
		t.Errorf("notes: %q", r.Notes)
	}
	ask(t, v, "go", "10 two")
	ask(t, v, "release", "busy 42")
	ask(t, v, "hold", "held")
	ask(t, v, "release", "busy 41")
	v.End()
}
