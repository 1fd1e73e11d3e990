package inject

import (
	"context"
	"errors"
	"strconv"
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

// TestUnknownStacks: a thread on a stack that the program made is refused, unless the user gives the word. Alternate stacks for signals and
// the stacks of threads that forked are known.
func TestUnknownStacks(t *testing.T) {
	t.Parallel()
	one := build(t, "context", 1, "-DONLYF")
	f := builds.Patch(t, one, build(t, "context", 2, "-DONLYF"))
	for _, thread := range []string{"main", "thread"} {
		t.Run(thread, func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, one, thread)
			for _, stack := range []string{"malloc", "static", "below", "above"} {
				if thread == "thread" && stack == "below" {
					continue // in one mapping with the thread's own stack, below it, without a guard page: taken for it (stacksOf)
				}
				ask(t, v, "on "+stack, "waiting")
				refused(t, v.PID, []*patch.File{f}, "a stack that is not its own", "--ack "+ackStacks)
				opt := quick
				opt.Acks = []string{ackStacks}
				r, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
				if err != nil || !strings.Contains(strings.Join(r.Notes, "\n"), "were not looked at") {
					t.Errorf("%s, with the word given: %v, %q", stack, err, r.Notes)
				}
				s, err := Inspect(v.PID, nil)
				if err != nil || len(s.Patches) != 1 || len(s.Patches[0].Acks) != 1 || s.Patches[0].Acks[0].ID != ackStacks {
					t.Errorf("list: %+v, %v", s, err)
				}
				ask(t, v, "", "back")
				revert(t, v.PID, "")
			}
			ask(t, v, "beside", "waiting")
			if r := apply(t, v.PID, f); strings.Contains(strings.Join(r.Notes, "\n"), "were not looked at") {
				t.Errorf("on an alternate stack: %q", r.Notes)
			}
			ask(t, v, "", "101")
			revert(t, v.PID, "")
			ask(t, v, "alternate", "waiting")
			busyIn(t, v, f, "f")
			ask(t, v, "", "101")
			ask(t, v, "jump", "waiting")
			busyIn(t, v, f, "f")
			ask(t, v, "", "101") // the buffer leads into f() for ever
			apply(t, v.PID, f)
			revert(t, v.PID, "")
			child, err := strconv.Atoi(v.Ask("fork"))
			if err != nil {
				t.Fatal(err)
			}
			apply(t, child, f)
			ask(t, v, "", "child")
			v.Expect("back")
			v.End()
		})
	}
}

// TestUnknownStacksHead: any body that goes out of force may be in use by a context that nobody sees. One that branches into the bytes of the
// jump is refused, whatever word is given.
func TestUnknownStacksHead(t *testing.T) {
	t.Parallel()
	flags := []string{"-falign-loops=1"}
	one := build(t, "context", 1, flags...)
	v := victim.Start(t, one, "main")
	ask(t, v, "on malloc", "waiting")
	opt := quick
	opt.Acks = []string{ackStacks}
	_, err := Apply(context.Background(), v.PID, []*patch.File{builds.Patch(t, one, build(t, "context", 2, flags...))}, opt)
	if !errors.Is(err, patch.ErrRefused) || !strings.Contains(err.Error(), "drain") {
		t.Errorf("apply: %v", err)
	}
	ask(t, v, "", "back")
	v.End()
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
