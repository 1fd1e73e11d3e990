package ptrace

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// awaitSole waits, while the target runs, until no other process shares its memory (a vfork child before it
// executes a program; a process made with CLONE_VM). Such a process runs the same text, and is not stopped
// with the threads. Those that are made from here on are told by fork events, because all threads are seized.
func (tr *tracer) awaitSole(opts StopOptions) error {
	end := opts.Deadline
	if end.IsZero() {
		end = time.Now().Add(defaultPatience)
	}
	for d := int64(50_000); ; d = min(d*2, 10*napMost) {
		pid, err := tr.findSharer()
		if err != nil {
			return err
		}
		if pid == 0 {
			tr.sharers = tr.sharers[:0]
			return nil
		}
		if time.Now().After(end) {
			return tr.sharedBy(pid)
		}
		tr.serve()
		if err := tr.usable("stop"); err != nil {
			return err
		}
		nap(d)
	}
}

// awaitSharers waits, while all threads are stopped, until the new processes that were seen to share the
// memory no longer do.
func (tr *tracer) awaitSharers(end time.Time, kind error) error {
	for d := int64(10_000); len(tr.sharers) > 0; d = min(d*2, napMost) {
		pid := tr.sharers[0]
		if !tr.shares(tr.anyLive(), pid) {
			tr.sharers = tr.sharers[1:]
			continue
		}
		if time.Now().After(end) {
			err := tr.sharedBy(pid)
			err.Err = kind
			return err
		}
		nap(d)
	}
	return nil
}

// sharedBy refuses because of a process that shares the memory.
func (tr *tracer) sharedBy(pid int) *Error {
	name := "?"
	if st, err := readStat(pid); err == nil {
		name = st.Comm
	}
	e := tr.p.fail("stop", 0, ErrShared, fmt.Sprintf("process %d (%s) shares its memory without being one of its threads", pid, name), nil)
	e.Help = "a vfork child ends this by executing a program; allow more time"
	return e
}

// findSharer returns a process, other than the target, with the target's memory; 0 if there is none.
func (tr *tracer) findSharer() (int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	live := tr.anyLive()
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil || pid == tr.p.PID {
			continue
		}
		if tr.shares(live, pid) {
			return pid, nil
		}
	}
	return 0, nil
}

// shares reports whether a process has, or may have, the memory of the target, of which live is a thread.
func (tr *tracer) shares(live, pid int) bool {
	same, e := sharesMemory(live, pid)
	if e != 0 && e != syscall.ESRCH {
		return tr.mayShareMemory(pid)
	}
	return same
}

// mayShareMemory judges a process that kcmp(2) does not tell about (another user's, or a kernel
// without it): it does not share the target's memory if the size differs.
func (tr *tracer) mayShareMemory(pid int) bool {
	for range 3 {
		before, err1 := readStat(tr.p.PID)
		other, err2 := readStat(pid)
		after, err3 := readStat(tr.p.PID)
		switch {
		case err1 != nil || err3 != nil || isGone(err2):
			return false
		case err2 == nil && (other.VSize == 0 || other.Flags&pfKThread != 0):
			return false
		case err2 == nil && before.VSize == after.VSize:
			return other.VSize == before.VSize
		}
	}
	return true
}
