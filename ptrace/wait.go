package ptrace

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// defaultPatience is how long a thread may take to stop where the caller sets no limit. A thread in
// uninterruptible sleep (a vfork parent, a hung file system) stops when that ends.
const defaultPatience = 2 * time.Second

// Waiting for a stop begins with short sleeps: a stop takes some microseconds.
const (
	napFirst  = 5_000     // ns
	napAttend = 20_000    // from here on others are attended to
	napMost   = 1_000_000 // ns
)

// awaitUntil waits until t has stopped, or has left the table because it ended. New processes that stop meanwhile
// are let go. An error leaves t running.
func (tr *tracer) awaitUntil(t *tracee, end time.Time) error {
	err := tr.awaitStop(t, end)
	if err == nil && tr.byTID[t.tid] == t && t.stopped {
		tr.repair(t)
	}
	return err
}

// awaitStop is awaitUntil without the repair of an interrupted call.
func (tr *tracer) awaitStop(t *tracee, end time.Time) error {
	for d := int64(napFirst); ; d = min(d*2, napMost) {
		if tr.peek(t) {
			if tr.byTID[t.tid] != t {
				return nil
			}
			if err := tr.readRegs(t); err != nil {
				return err
			}
			if !t.dying {
				tr.note(t)
				return nil
			}
		}
		if d == napMost && t.tid == tr.p.PID && tr.leaderEnded() {
			t.zombie = true
			return nil
		}
		if time.Now().After(end) {
			return tr.stuck(t)
		}
		if d >= napAttend {
			tr.attend() // t may wait for them
		}
		nap(d)
		if tr.byTID[t.tid] != t {
			return nil
		}
	}
}

// readRegs reads the registers of a stopped thread, or marks it as dying if it has been killed since.
func (tr *tracer) readRegs(t *tracee) error {
	n, e := regset(unix.PTRACE_GETREGSET, t.tid, &t.regs)
	switch {
	case e == syscall.ESRCH:
		t.dying, t.stopped = true, false
		return nil
	case e != 0:
		return fmt.Errorf("process %d: thread %d: PTRACE_GETREGSET: %w", tr.p.PID, t.tid, e)
	case n != regSize || !t.regs.native() && t.regs.PC() != 0:
		return tr.p.fail("stop", t.tid, ErrForeignABI, "it runs 32-bit code", nil)
	}
	t.dying = false // also if execve has given it a new life
	if tr.p.pac.Load() == nil {
		if m, e := readPACMasks(t.tid); e == 0 {
			tr.p.pac.Store(&m)
		}
	}
	return nil
}

// leaderEnded reports whether the main thread has ended while others live on.
func (tr *tracer) leaderEnded() bool {
	st, err := taskStat(tr.p.PID, tr.p.PID)
	return err == nil && st.State == 'Z' && st.NumThreads > 1
}

// stuck explains why a thread does not stop.
func (tr *tracer) stuck(t *tracee) error {
	e := tr.p.fail("stop", t.tid, ErrTimeout, "", nil)
	st, err := taskStat(tr.p.PID, t.tid)
	if err != nil {
		e.Err = err
		return e
	}
	e.Why = fmt.Sprintf("%s is in state %c", st.Comm, st.State)
	if st.State == 'D' {
		e.Why = fmt.Sprintf("%s is in uninterruptible sleep (state D), as a vfork parent is until its child has executed a program", st.Comm)
	}
	e.Help = "try again, or allow more time"
	return e
}
