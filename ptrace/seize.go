package ptrace

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// seizeOptions are set on every tracee and inherited by those that it creates.
const seizeOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

// maxSeizePasses bounds the passes over /proc/PID/task. Threads that a seized thread creates
// are tracees from birth, so only unseized ones can add to the work.
const maxSeizePasses = 1000

// Seize makes every thread a tracee without stopping any. [Process.Borrow] and [Process.Stop] do it
// themselves; calling it early moves its cost. It lasts until Close or a Stop with Detach.
func (p *Process) Seize() error {
	return p.do("seize", func(tr *tracer) error { return tr.seize() })
}

func (tr *tracer) seize() error {
	if err := tr.attach("seize"); err != nil {
		return err
	}
	if err := tr.seizeAll(); err != nil {
		tr.detachAll()
		return err
	}
	return nil
}

// attach does all for tracing but seize a thread. It may be called again.
func (tr *tracer) attach(op string) error {
	tr.serve()
	if err := tr.usable(op); err != nil || tr.seized {
		return err
	}
	if err := tr.p.check(op); err != nil {
		return err
	}
	st, err := readStat(tr.p.PID)
	if err != nil {
		return tr.p.readError(op, err)
	}
	tr.ownChild = st.PPID == os.Getpid()
	if tr.taskDir < 0 {
		fd, err := unix.Open("/proc/"+strconv.Itoa(tr.p.PID)+"/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return tr.p.readError(op, err)
		}
		tr.taskDir = fd
	}
	if err := tr.findLibc(); err != nil {
		return err
	}
	if tr.sigchld == nil {
		tr.sigchld = make(chan os.Signal, 1)
		signal.Notify(tr.sigchld, unix.SIGCHLD)
	}
	tr.seized = true
	return nil
}

// seizeAll makes passes over the threads until one finds nothing new.
func (tr *tracer) seizeAll() error {
	for range maxSeizePasses {
		n, err := tr.seizeNew()
		if err != nil || n == 0 {
			return err
		}
	}
	return tr.p.fail("seize", 0, ErrTimeout, fmt.Sprintf("still finding new threads after %d passes over /proc/%d/task",
		maxSeizePasses, tr.p.PID), nil)
}

// seizeNew seizes the threads that are not in the table and returns how many there were.
func (tr *tracer) seizeNew() (int, error) {
	tids, err := tr.p.tids()
	if err != nil {
		return 0, tr.p.readError("seize", err)
	}
	n := 0
	for _, tid := range tids {
		if tr.byTID[tid] != nil {
			continue
		}
		t, err := tr.seizeOne(tid)
		if err != nil {
			return n, err
		}
		if t != nil {
			tr.add(t)
			n++
		}
	}
	return n, nil
}

// seizeOne seizes one thread; nil if it has ended. A worker of the kernel is left alone: it runs no
// user code, and a stop would fail the request that it works on with EINTR.
func (tr *tracer) seizeOne(tid int) (*tracee, error) {
	st, err := taskStat(tr.p.PID, tid)
	if isGone(err) {
		return nil, nil
	} else if err != nil {
		return nil, tr.p.readError("seize", err)
	}
	if st.Flags&(pfIOWorker|pfUserWorker) != 0 {
		in, _ := tr.p.syscallInfo(tid)
		if isWorker(st.Flags, in) {
			return &tracee{tid: tid, worker: true}, nil
		}
	}
	e := ptrace(unix.PTRACE_SEIZE, tid, 0, seizeOptions)
	switch e {
	case 0:
		t := &tracee{tid: tid, wait: tr.waits[tid]}
		delete(tr.waits, tid)
		return t, nil
	case syscall.ESRCH:
		return nil, nil
	}
	return tr.seizeFailed(tid, e)
}

// seizeFailed finds out why PTRACE_SEIZE failed.
func (tr *tracer) seizeFailed(tid int, e syscall.Errno) (*tracee, error) {
	status, err := readTask(tr.p.PID, tid, "status")
	if isGone(err) {
		return nil, nil
	} else if err != nil {
		return nil, tr.p.readError("seize", err)
	}
	state, _ := StatusField(status, "State")
	switch tracer := statusInt(status, "TracerPid", 0); {
	case tracer == tr.tid: // a new thread of one that is seized
		return &tracee{tid: tid}, nil
	case tracer != 0:
		return nil, tr.p.tracedBy("seize", tracer)
	case strings.HasPrefix(state, "Z"), strings.HasPrefix(state, "X"):
		if tid == tr.p.PID {
			return &tracee{tid: tid, zombie: true}, nil
		}
		return nil, nil
	case e == syscall.EPERM:
		return nil, tr.p.denied("seize", status, e)
	}
	return nil, fmt.Errorf("seize process %d: thread %d: PTRACE_SEIZE: %w", tr.p.PID, tid, e)
}

// detachAll lets every tracee go, by stopping it for a moment if it runs, and reaps what was killed. A thread
// that does not stop (uninterruptible sleep) stays a tracee, and runs on when it has.
func (tr *tracer) detachAll() {
	var stuck []*tracee
	for i := 0; i < len(tr.threads); {
		t := tr.threads[i]
		if !t.worker && !t.zombie {
			if !t.stopped && tr.park(t, borrowPatience) != nil || !tr.handleFirst(t) {
				stuck = append(stuck, t)
			}
			if t.stopped {
				tr.detach(t)
			}
		}
		if i < len(tr.threads) && tr.threads[i] == t {
			i++
		}
	}
	tr.mourn()
	tr.forget()
	for _, t := range stuck {
		tr.add(t)
		tr.seized = true
	}
}

// signalPatience is how long a thread may take to the stop for a signal that waits for it, if no other thread takes that.
const signalPatience = 50 * time.Millisecond

// handleFirst lets a stopped thread go as far as to the handler of a signal that has come meanwhile, if that is to end a call which
// would begin again once the thread is detached. It reports false, and the thread stays a tracee, if it does not stop again.
func (tr *tracer) handleFirst(t *tracee) bool {
	const tries = 3 // another thread may take a signal of the process
	for range tries {
		if !t.stopped || tr.byTID[t.tid] != t || !tr.handlerEnds(t) {
			break
		}
		tr.resume(t)
		if tr.awaitUntil(t, time.Now().Add(signalPatience)) != nil { // an interrupt would come before the signal, so it waits until now
			ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
		} else if t.stopped && t.stop.delivery() {
			ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
			tr.resume(t)
		}
		if !t.stopped && tr.settle(t, time.Now().Add(borrowPatience)) != nil {
			return false
		}
	}
	return true
}

// detach lets one stopped tracee go, with its signal.
func (tr *tracer) detach(t *tracee) {
	sig := 0
	if t.stop.delivery() {
		sig = t.stop.sig
	}
	t.stopped = false
	t.wait.resumed = time.Now()
	tr.forgetCall(t)
	t.dying = ptrace(unix.PTRACE_DETACH, t.tid, 0, uintptr(sig)) != 0
}

// awaitDeath waits until a killed tracee has been reaped.
func (tr *tracer) awaitDeath(t *tracee) {
	t.dying, t.stopped = true, false
	tr.mourn()
}

// forget empties the table after all have been detached.
func (tr *tracer) forget() {
	tr.forgetWaits()
	for _, t := range tr.threads {
		if t.wait.left != 0 || t.wait.timer != nil {
			tr.waits[t.tid] = t.wait
		}
	}
	tr.threads = tr.threads[:0]
	clear(tr.byTID)
	tr.seized = false
	tr.mem.close()
}

// forgetWaits forgets what is known about the calls of threads that were let go and not seized again.
func (tr *tracer) forgetWaits() {
	for _, w := range tr.waits {
		tr.unfollow(&w)
	}
	clear(tr.waits)
}

// findLibc notes where the C library's code is; see eintr.go.
func (tr *tracer) findLibc() error {
	maps, err := tr.p.Maps()
	if err != nil {
		return err
	}
	tr.libc = tr.libc[:0]
	for _, m := range maps {
		if m.Perm&PermExec != 0 && isLibc(strings.TrimSuffix(m.Path, " (deleted)")) {
			tr.libc = append(tr.libc, m)
		}
	}
	return nil
}

// isLibc recognises glibc and musl by the file's name.
func isLibc(path string) bool {
	base := filepath.Base(path)
	return base == "libc.so.6" || strings.HasPrefix(base, "ld-musl-") || base == "libc.so" ||
		strings.HasPrefix(base, "libc-") && strings.HasSuffix(base, ".so")
}
