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

// busyIn applies without waiting and expects that a function is busy and that nothing changes.
func busyIn(t *testing.T, v *victim.Victim, f *patch.File, function string) {
	t.Helper()
	before := footprint(t, v.PID)
	_, err := Apply(context.Background(), v.PID, []*patch.File{f}, Options{})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Threads[0].Func != function {
		t.Errorf("apply: %v, want %s busy", err, function)
	}
	if footprint(t, v.PID) != before {
		t.Error("the process has changed")
	}
}

// TestContexts changes the stack by swapcontext(3), to stacks in a mapping of their own and in that of the thread's
// stack. A replaced function that the thread has left for another stack is seen there.
func TestContexts(t *testing.T) {
	t.Parallel()
	one := build(t, "context", 1)
	f := builds.Patch(t, one, build(t, "context", 2))
	for _, thread := range []string{"main", "thread"} {
		for _, stack := range []string{"malloc", "static", "below", "above"} {
			t.Run(thread+" "+stack, func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, one, thread)
				ask(t, v, "outer "+stack, "waiting")
				busyIn(t, v, f, "f")
				ask(t, v, "", "101")
				// A context that no thread is on is not seen; it ends in the old body, and the report says that.
				ask(t, v, "inner "+stack, "waiting")
				r := apply(t, v.PID, f)
				if !strings.Contains(strings.Join(r.Notes, "\n"), "swapcontext") {
					t.Errorf("notes: %q", r.Notes)
				}
				ask(t, v, "", "101")
				ask(t, v, "inner "+stack, "waiting")
				revert(t, v.PID, "")
				ask(t, v, "", "201")
				ask(t, v, "outer "+stack, "waiting")
				ask(t, v, "", "101")
				v.End()
			})
		}
	}
}

// TestLoopAtEntry interrupts a function at its first instruction, which is the head of its loop: the program
// counter that the signal frame holds must not be taken for a call that is about to happen.
func TestLoopAtEntry(t *testing.T) {
	t.Parallel()
	flags := []string{"-falign-loops=1"}
	one := build(t, "context", 1, flags...)
	f := builds.Patch(t, one, build(t, "context", 2, flags...))
	v := victim.Start(t, one, "main")
	ask(t, v, "loop", "waiting")
	busyIn(t, v, f, "drain")
	ask(t, v, "", "drained 10")
	apply(t, v.PID, f)
	v.End()
}
