package inject

import (
	"errors"
	"fmt"
	"strings"

	"hotpatch/elfdiff/patch"
)

var (
	// ErrBusy is what a [*BusyError] wraps: a replaced function stayed active until the deadline. Nothing has changed.
	ErrBusy = errors.New("busy")

	// ErrAttention says that the process is in a state that needs a decision: an earlier hotpatch died in the middle, or a
	// commit could be neither finished nor undone.
	ErrAttention = errors.New("needs attention")

	// ErrNoPatch says that there is no patch to revert.
	ErrNoPatch = errors.New("no such patch in the process")

	// errChanged says that the process is no longer as the plan saw it: plan again.
	errChanged = errors.New("the process changed while it was being looked at")
)

// BusyError says which threads are in the way.
type BusyError struct {
	PID     int
	Threads []BusyThread
}

// BusyThread is a thread that executes a replaced function, or may return into one.
type BusyThread struct {
	TID    int      `json:"tid"`
	Comm   string   `json:"comm"`
	Func   string   `json:"function"`
	Where  string   `json:"where"`  // the register or stack slot that was found
	Why    string   `json:"why"`    // why it counts
	Frames []string `json:"frames"` // innermost first, as far as they are known
}

func (e *BusyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "process %d: busy: nothing has changed", e.PID)
	for _, t := range e.Threads {
		fmt.Fprintf(&b, "; thread %d (%s) is in %s (%s: %s)", t.TID, t.Comm, t.Func, t.Where, t.Why)
	}
	return b.String()
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
