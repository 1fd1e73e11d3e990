package ptrace

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Remote makes system calls in a borrowed thread. It is valid inside the function given to Borrow.
//
// The target's stack is not touched (nor its red zone), and neither are floating-point and vector state. No
// signal is blocked: one that arrives in between is delivered to the thread as it was before, and
// the call is made from its handler's first instruction. (A blocked one would stay blocked if this process
// died, and the only call that unblocks and goes on elsewhere at once, rt_sigreturn, cancels restart blocks.)
type Remote struct {
	tr      *tracer
	t       *tracee
	saved   Regs // of the thread, to be restored
	dirty   bool // the thread's registers are not the saved ones
	written bool // something has been written at place
	armed   bool // the stub is there and holds the saved registers
	moved   bool // the last step let the thread run
	place   place
}

// remotePatience is how long one borrowed call may take.
const remotePatience = 5 * time.Second

// errTrapped says that a filter of the target answered a borrowed call with a signal.
var errTrapped = errors.New("answered with SIGSYS, by a seccomp filter or by syscall user dispatch")

// TID is the borrowed thread.
func (r *Remote) TID() int { return r.t.tid }

// Abandoned reports whether another tracer has died while it had a thread of the process borrowed, or whether a call of this one
// went wrong ([ErrUnsure]): what the calls have made may still be there.
func (r *Remote) Abandoned() bool { return r.tr.abandoned }

// CallError is a system call in the target that failed.
type CallError struct {
	Call string // name and arguments
	Err  syscall.Errno
}

func (e *CallError) Error() string {
	return fmt.Sprintf("in the target: %s: %v (%s)", e.Call, e.Err, unix.ErrnoName(e.Err))
}

func (e *CallError) Unwrap() error { return e.Err }

// Syscall makes a system call in the target and returns its result. An errno is a [*CallError].
func (r *Remote) Syscall(nr uintptr, args ...uint64) (uint64, error) {
	return r.named(fmt.Sprintf("syscall %d%#x", nr, args), nr, args...)
}

// named is Syscall with a text for the error.
func (r *Remote) named(text string, nr uintptr, args ...uint64) (uint64, error) {
	if len(args) > 6 {
		return 0, fmt.Errorf("%s: %d arguments, at most 6", text, len(args))
	}
	var a [6]uint64
	copy(a[:], args)
	if err := r.permit(text, nr, a); err != nil {
		return 0, err
	}
	raw, err := r.call(nr, a)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", text, err)
	}
	v, e := errnoOf(raw)
	if e != 0 {
		return 0, &CallError{Call: text, Err: e}
	}
	return v, nil
}

// call runs one system call and returns the raw result.
func (r *Remote) call(nr uintptr, args [6]uint64) (uint64, error) {
	end := time.Now().Add(remotePatience)
	for {
		if err := r.arm(); err != nil {
			return 0, err
		}
		regs := r.saved
		regs.call(r.place.addr, nr, args)
		r.t.regs, r.dirty = regs, true
		if _, e := regset(unix.PTRACE_SETREGSET, r.t.tid, &regs); e != 0 {
			return 0, r.lost(e)
		}
		entered, err := r.step(end)
		if err != nil {
			return 0, r.abandon(err, &regs, true, end)
		}
		if !entered { // a signal came first and has been delivered
			continue
		}
		if _, err := r.step(end); err != nil {
			return 0, r.abandon(err, &regs, false, end)
		}
		result := uint64(r.t.regs.Result())
		if len(r.t.filters) == 0 {
			return result, nil
		}
		return result, r.trapped(end)
	}
}

// abandon deals with a call that went wrong at its first step, to its entry, or at its second. A thread in front of the call gets its
// registers back. One at the entry is brought to the exit without the call's being made: registers that are written at the
// entry are taken for the call's. Otherwise nobody knows whether the call was made, or will be by the stub.
func (r *Remote) abandon(cause error, regs *Regs, first bool, end time.Time) error {
	entry := first == r.moved && r.t.stopped && r.t.stop.sys
	switch {
	case errors.Is(cause, ErrUnsure):
		r.tr.abandoned = true
		return cause
	case r.tr.byTID[r.t.tid] != r.t:
		return cause
	case first && !r.moved:
		if r.restore() == nil {
			return cause
		}
	case entry:
		if skipCall(r.t.tid, regs) != 0 {
			break
		}
		if _, err := r.step(end); err == nil {
			return cause
		}
	}
	r.tr.abandoned = true
	return fmt.Errorf("%w: %w", ErrUnsure, cause)
}

// arm writes the stub, with the registers that the thread is to go on with. The thread is
// not in it: it has its own registers, or those of an earlier call with the same saved ones.
func (r *Remote) arm() error {
	if r.armed {
		return nil
	}
	if err := r.keepNear(); err != nil {
		return err
	}
	stub, err := stubFor(&r.saved, r.t.tid, &r.place)
	if err != nil {
		return err
	}
	r.written = true
	if err := r.tr.write(r.t.tid, r.place.addr, stub); err != nil {
		return err
	}
	r.armed = true
	return nil
}

// keepNear chooses another place if a signal has led the thread to a handler that is out of the stub's reach.
func (r *Remote) keepNear() error {
	pc := r.saved.PC()
	if inReach(r.place.addr, pc) {
		return nil
	}
	pl, ok := r.tr.placeFor(pc)
	if !ok {
		return r.tr.p.fail("borrow", r.t.tid, ErrNoRoom, fmt.Sprintf("a signal led it to %#x, where none of %d places for a stub is within %d MiB",
			uint64(pc), len(r.tr.places), stubReach>>20), nil)
	}
	if err := r.fillPlace(); err != nil {
		return err
	}
	r.place = pl
	return nil
}

// fillPlace puts back what lay where the stub is.
func (r *Remote) fillPlace() error {
	if !r.written {
		return nil
	}
	r.written = false
	return r.tr.write(r.t.tid, r.place.addr, bytes.Repeat([]byte{r.place.fill}, stubLen))
}

// end restores the thread, and what lay where the stub is. A thread that could not be restored keeps the
// stub, which restores it.
func (r *Remote) end() error {
	if err := r.restore(); err != nil || r.tr.byTID[r.t.tid] != r.t {
		return err
	}
	return r.fillPlace()
}

// trapped finds out whether a filter answered the call with SIGSYS (SECCOMP_RET_TRAP): one that another thread has
// just given to all (SECCOMP_FILTER_FLAG_TSYNC). The call then looks as if it had returned, and the signal is
// pending. It is taken away again.
func (r *Remote) trapped(end time.Time) error {
	status, err := readTask(r.tr.p.PID, r.t.tid, "status")
	if err != nil {
		return err
	}
	if statusMask(status, "SigPnd")&(1<<(unix.SIGSYS-1)) == 0 {
		return nil
	}
	_, err = r.step(end)
	return err
}

// step runs the thread to the next entry to or exit from a system call. It reports false if a signal
// was delivered instead; the thread is then parked with other registers, which are the saved ones now.
func (r *Remote) step(end time.Time) (bool, error) {
	for {
		r.moved = false
		if e := ptrace(unix.PTRACE_SYSCALL, r.t.tid, 0, 0); e != 0 {
			return false, r.lost(e)
		}
		r.moved, r.t.stopped = true, false
		if err := r.tr.awaitStop(r.t, end); err != nil {
			return false, err
		}
		if r.tr.byTID[r.t.tid] != r.t {
			return false, r.lost(syscall.ESRCH)
		}
		switch {
		case r.t.stop.sys:
			return true, nil
		case r.t.stop.delivery():
			return false, r.deliver()
		}
		// A stop of the group: the thread goes on until it is given back.
	}
}

// deliver gives the thread its own registers back, lets it take the signal that it is stopped for, and
// parks it behind that.
func (r *Remote) deliver() error {
	if code, e := signalCode(r.t.tid); e == 0 && r.t.stop.sig == int(unix.SIGSYS) && code > 0 {
		// Forced by the borrowed call (SYS_SECCOMP, SYS_USER_DISPATCH), so not the thread's.
		r.t.stop.sig = 0
		return also(errTrapped, r.restore())
	}
	if err := r.putBack(); err != nil {
		return err
	}
	r.tr.deliverInCall(r.t)
	ptrace(unix.PTRACE_INTERRUPT, r.t.tid, 0, 0)
	r.tr.resume(r.t)
	if err := r.tr.settle(r.t, time.Now().Add(remotePatience)); err != nil {
		return err
	}
	if r.tr.byTID[r.t.tid] != r.t {
		return r.lost(syscall.ESRCH)
	}
	r.saved, r.armed = r.t.regs, false
	return nil
}

// putBack writes the saved registers.
func (r *Remote) putBack() error {
	if !r.dirty || r.tr.byTID[r.t.tid] != r.t {
		return nil
	}
	r.t.regs = r.saved
	if _, e := regset(unix.PTRACE_SETREGSET, r.t.tid, &r.t.regs); e != 0 {
		return r.lost(e)
	}
	r.dirty = false
	return nil
}

// restore gives the thread its registers back and parks it, so that the kernel looks at them once more
// for a call to restart: it does so only on the way out of a signal or an interrupt, not out of
// the stop at the exit of a system call.
func (r *Remote) restore() error {
	if !r.dirty || r.tr.byTID[r.t.tid] != r.t {
		return nil
	}
	end := time.Now().Add(remotePatience)
	if !r.t.stopped {
		ptrace(unix.PTRACE_INTERRUPT, r.t.tid, 0, 0)
		if err := r.tr.awaitStop(r.t, end); err != nil {
			return fmt.Errorf("thread %d is not restored yet, because a borrowed call does not end; it goes on by itself when that ends: %w",
				r.t.tid, err)
		}
	}
	if r.t.stop.event == unix.PTRACE_EVENT_STOP {
		return r.putBack()
	}
	// The thread does not go on with its own registers unless it stops once more; else by the stub.
	if e := ptrace(unix.PTRACE_INTERRUPT, r.t.tid, 0, 0); e != 0 {
		return r.lost(e)
	}
	if e := leaveCall(r.t.tid, &r.saved); e != 0 {
		return r.lost(e)
	}
	if err := r.putBack(); err != nil {
		return err
	}
	r.tr.resume(r.t)
	return r.tr.settle(r.t, end)
}

// lost explains a failed request on the borrowed thread, which was stopped: it was killed, unless the kernel says something
// else than that there is no such tracee, or it does not end.
func (r *Remote) lost(e syscall.Errno) error {
	if e != syscall.ESRCH {
		return fmt.Errorf("process %d: thread %d: %w", r.tr.p.PID, r.t.tid, e)
	}
	if r.tr.byTID[r.t.tid] == r.t {
		r.tr.awaitDeath(r.t)
	}
	if r.tr.byTID[r.t.tid] == r.t && !r.tr.p.Ended() {
		return fmt.Errorf("%w: process %d: thread %d: %w, but it has not ended", ErrUnsure, r.tr.p.PID, r.t.tid, e)
	}
	return r.tr.p.fail("borrow", r.t.tid, ErrExited, "killed during a borrowed call", e)
}
