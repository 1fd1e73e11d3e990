package inject

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

var (
	// ErrBusy is what a [*BusyError] wraps: a replaced function stayed active until the deadline. Nothing has changed.
	ErrBusy = errors.New("busy")

	// ErrAttention says that the process is in a state that needs a decision: an earlier hotpatch died in the middle, or a
	// commit could be neither finished nor undone.
	ErrAttention = errors.New("needs attention")

	// ErrNoPatch says that there is no patch to revert.
	ErrNoPatch = errors.New("no such patch in the process")

	// ErrExited says that the process has ended, or is about to: [ptrace.ErrExited].
	ErrExited = ptrace.ErrExited

	// errChanged says that the process is no longer as the plan saw it: plan again.
	errChanged = errors.New("the process changed while it was being looked at")
)

// BusyError says which threads are in the way.
type BusyError struct {
	PID     int
	Threads []BusyThread
	More    int      // threads that are busy as well
	Help    []string // what can be done
}

// BusyThread is a thread that executes a replaced function, or may return into one.
type BusyThread struct {
	TID    int      `json:"tid"`
	Comm   string   `json:"comm"`
	Func   string   `json:"function"` // the outermost one
	Where  string   `json:"where"`    // the register or stack slot that was found
	Why    string   `json:"why"`      // why it counts
	Frames []string `json:"frames"`   // innermost first, as far as they are known

	// Stay is how long it has been in that call at least: since it was first seen in it; since the thread began, if it began with it.
	Stay time.Duration `json:"stay_ns"`
	Loop string        `json:"loop,omitempty"` // why the call is not going to return; "": it may

	idle bool // the function is in the way only because Options.WhenIdle names it
}

// Error describes the first thread and counts the others.
func (e *BusyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "process %d: busy: nothing has changed", e.PID)
	more := e.More
	if len(e.Threads) > 0 {
		t := &e.Threads[0]
		more += len(e.Threads) - 1
		fmt.Fprintf(&b, "; thread %d (%s) %s %s (%s: %s)", t.TID, t.Comm, t.since(), t.Func, t.Where, t.Why)
		if t.Loop != "" {
			fmt.Fprintf(&b, ", which does not return: %s", t.Loop)
		}
	}
	switch {
	case more == 1:
		b.WriteString("; and 1 thread more")
	case more > 1:
		fmt.Fprintf(&b, "; and %d threads more", more)
	}
	return b.String()
}

// since says for how long the thread has been in the function: "is in", "has been for 1.2s in".
func (t *BusyThread) since() string {
	switch d := t.Stay; {
	case d < time.Millisecond:
		return "is in"
	case d < time.Second:
		return fmt.Sprintf("has been for %v in", d.Round(time.Millisecond))
	default:
		return fmt.Sprintf("has been for %v in", d.Round(time.Second/10))
	}
}

// Unwrap makes errors.Is(err, ErrBusy) true.
func (e *BusyError) Unwrap() error { return ErrBusy }

// attention makes an error that wraps ErrAttention.
func attention(pid int, format string, args ...any) error {
	return fmt.Errorf("process %d: %w: %s", pid, ErrAttention, fmt.Sprintf(format, args...))
}

// refuse makes a refusal.
func refuse(what, found, help, why string, args ...any) error {
	return &patch.Refusal{What: what, Why: fmt.Sprintf(why, args...), Found: found, Help: help}
}
