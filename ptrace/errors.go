package ptrace

import (
	"errors"
	"fmt"
	"strings"
)

// What callers decide on. Every error of this package about the state of the target
// wraps one of them, in an [*Error].
var (
	ErrGone         = errors.New("no such process")
	ErrExited       = errors.New("process ended")
	ErrZombie       = errors.New("process is a zombie")
	ErrKernelThread = errors.New("kernel thread")
	ErrPermission   = errors.New("not permitted")
	ErrTraced       = errors.New("already traced")
	ErrSelf         = errors.New("own process")
	ErrNotLeader    = errors.New("thread id, not a process id")
	ErrExec         = errors.New("process executed another program")
	ErrShared       = errors.New("memory is shared with another process")
	ErrTimeout      = errors.New("thread did not stop in time")
	ErrPause        = errors.New("maximum pause exceeded")
	ErrNoThread     = errors.New("no thread can be borrowed")
	ErrFiltered     = errors.New("no thread can be borrowed with its seccomp filters in force")
	ErrNoRoom       = errors.New("no room for the code that makes system calls")
	ErrForeignABI   = errors.New("not a 64-bit process of this machine")
	ErrUnsure       = errors.New("whether the call was made is not known")
	ErrClosed       = errors.New("process handle is closed")
)

// Error is an error about one process.
type Error struct {
	Op   string // what was being done: "open", "seize", "stop"
	PID  int
	TID  int    // the thread concerned; 0: none
	Kind error  // one of the sentinels above
	Why  string // what was found
	Help string // what would make it pass
	Err  error  // the cause; may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s process %d: ", e.Op, e.PID)
	if e.TID != 0 && e.TID != e.PID {
		fmt.Fprintf(&b, "thread %d: ", e.TID)
	}
	b.WriteString(e.Kind.Error())
	if e.Why != "" {
		b.WriteString(": " + e.Why)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Help != "" {
		b.WriteString("; " + e.Help)
	}
	return b.String()
}

// Unwrap makes errors.Is work with the sentinel and with the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// also adds a later error to an earlier one, in one line. One that only says the same again, as that the
// process has ended, is left out.
func also(err, later error) error {
	var e *Error
	switch {
	case err == nil:
		return later
	case later == nil, errors.As(later, &e) && errors.Is(err, e.Kind):
		return err
	}
	return fmt.Errorf("%w; %w", err, later)
}

// fail makes an [*Error] about p.
func (p *Process) fail(op string, tid int, kind error, why string, cause error) *Error {
	return &Error{Op: op, PID: p.PID, TID: tid, Kind: kind, Why: why, Err: cause}
}
