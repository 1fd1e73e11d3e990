package inject

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"hotpatch/ptrace"
)

// ackSeccomp is the ID by which the user allows seccomp filters to be suspended for a borrowed thread. He alone knows
// whether the process may be killed in the event that hotpatch dies meanwhile.
const ackSeccomp = "seccomp"

// askFilters finds out whether every thread has seccomp filters, and whether the user allows them to be suspended.
func (t *transaction) askFilters(pl *planner) error {
	var err error
	if t.filtered, err = t.p.AllFiltered(); err != nil {
		return err
	}
	t.suspend = t.filtered && pl.given(ackSeccomp)
	return nil
}

// borrow makes system calls in a thread of the process.
func (t *transaction) borrow(fn func(*ptrace.Remote) error) error {
	suspended := 0
	err := t.p.BorrowWith(ptrace.BorrowOptions{SuspendFilters: t.suspend}, func(r *ptrace.Remote) error {
		if r.Suspended() {
			suspended = r.TID()
		}
		if err := t.closeAbandoned(r); err != nil {
			return err
		}
		return fn(r)
	})
	r := t.plan.report
	switch {
	case suspended != 0 && !t.noted:
		r.Notes = append(r.Notes, fmt.Sprintf("the seccomp filters of thread %d were suspended while it made system calls for hotpatch, and are in force again", suspended))
		t.noted = true
	case errors.Is(err, ptrace.ErrFiltered) && !t.suspend:
		return refuse("seccomp", err.Error(), "--ack "+ackSeccomp+" suspends the filters of one thread while it makes the calls; that needs "+
			"CAP_SYS_ADMIN, and ends with hotpatch: if it is killed meanwhile, the filters may kill the process",
			"every thread has seccomp filters, which do not allow the system calls that map memory")
	}
	return explain(err)
}

// explain adds to a refused call what is known to refuse it.
func explain(err error) error {
	var call *ptrace.CallError
	if !errors.As(err, &call) {
		return err
	}
	switch call.Err {
	case unix.ENOMEM:
		return fmt.Errorf("%w; the process may have no more memory: RLIMIT_AS, RLIMIT_DATA, its control group, or vm.max_map_count", err)
	case unix.EACCES, unix.EPERM:
		return fmt.Errorf("%w; the kernel forbids the process executable memory: a security module (SELinux execmem), or a filter", err)
	}
	return err
}

// closeAbandoned closes what a hotpatch left that died between making a journal's file and closing it. Nobody else is at
// work on the process, and a live hotpatch has such a file open for some microseconds only.
func (t *transaction) closeAbandoned(r *ptrace.Remote) error {
	if !r.Abandoned() {
		return nil
	}
	list, err := os.ReadDir(procPath(t.p.PID, "fd"))
	if err != nil {
		return err
	}
	for _, d := range list {
		if link, err := os.Readlink(procPath(t.p.PID, "fd/"+d.Name())); err != nil || link != journalPath {
			continue
		}
		fd, err := strconv.Atoi(d.Name())
		if err == nil {
			err = r.CloseFD(fd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
