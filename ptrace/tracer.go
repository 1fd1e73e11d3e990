package ptrace

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tracer is the goroutine that owns ptrace for a process, and what it owns. Fields
// below "table" are touched on its OS thread only.
type tracer struct {
	p    *Process
	jobs chan job
	done chan struct{} // closed when the goroutine has ended
	tid  int           // of its OS thread

	// table
	threads   []*tracee          // in the order in which they were found
	byTID     map[int]*tracee    // the same
	waits     map[int]waitRecord // of threads that were let go
	strays    []int              // new processes whose first stop is awaited, to let them go
	sharers   []int              // processes seen to share the target's memory
	timers    int                // that are open
	afresh    []Afresh           // of all stops; its capacity is fixed
	seen      []Interrupted      // of all stops; its capacity is fixed
	taskDir   int                // open /proc/PID/task; -1: none
	mem       memFile            // for forced writes
	sigchld   chan os.Signal     // nil until the first Seize
	seized    bool
	exec      bool // the process has executed another program
	ended     bool // the process has ended
	ownChild  bool // the target is a child of this process, whose wait collects its main thread
	libc      []Mapping
	places    []place  // where stubs fit, the best first; empty: not known
	abandoned bool     // a stub was found that another tracer had left, or a call of this one went wrong
	si        siginfo  // scratch of waitPeek
	view      []Thread // scratch of Stop
	local     []unix.Iovec
	remote    []unix.RemoteIovec
	round     Watch // scratch of RunOn
	urgent    realtime
}

// job is a closure to be run on the tracer's thread.
type job struct {
	fn     func(*tracer) error
	result chan<- error
}

// tracee is one traced thread.
type tracee struct {
	tid     int
	worker  bool // runs no user code; is not traced, never stopped
	zombie  bool // the main thread, ended before the others
	stopped bool
	dying   bool // was killed while it was stopped, and is to be reaped
	brittle bool // sat in a call that always needs repair, just before the stop
	stop    stop // why; valid while stopped
	regs    Regs // valid while stopped
	wait    waitRecord
	memory  memory

	filters   []filterProgram // while it is borrowed: those that every call is shown to
	suspended bool            // its filters are
}

// stop says why a tracee has stopped (ptrace(2), "Stopped states").
type stop struct {
	sig   int // the signal to be delivered, or that stopped the group
	event int // PTRACE_EVENT_*; 0: none
	sys   bool
}

const sysgood = 0x80 // set in the signal number of syscall-stops by PTRACE_O_TRACESYSGOOD

// decodeStop takes apart what waitid reports as si_status of a traced thread.
func decodeStop(status int32) stop {
	s := stop{sig: int(status & 0xff), event: int(status >> 8)}
	if s.event == 0 && s.sig == int(unix.SIGTRAP)|sysgood {
		return stop{sys: true}
	}
	return s
}

// group reports a group-stop: the whole process is stopped by a signal.
func (s stop) group() bool { return s.event == unix.PTRACE_EVENT_STOP && s.sig != int(unix.SIGTRAP) }

// delivery reports a signal-delivery-stop.
func (s stop) delivery() bool { return s.event == 0 && !s.sys }

// newTracer starts the goroutine and waits until it has a thread.
func newTracer(p *Process) (*tracer, error) {
	tr := &tracer{p: p, jobs: make(chan job), done: make(chan struct{}), byTID: make(map[int]*tracee),
		waits: make(map[int]waitRecord), afresh: make([]Afresh, 0, maxAfresh), seen: make([]Interrupted, 0, maxAfresh), taskDir: -1, mem: memFile{fd: -1}}
	ready := make(chan error, 1)
	go tr.start(ready, 16)
	return tr, <-ready
}

// start finds an OS thread that is not the process's first (which Go never ends) and has no children
// (whose deaths would hide our events), and runs the tracer on it. An unfit thread is kept locked
// until the next has been found.
func (tr *tracer) start(ready chan<- error, tries int) {
	runtime.LockOSThread()
	fit := unix.Gettid() != os.Getpid() && waitPeek(waitAny, &tr.si) == syscall.ECHILD
	if fit {
		tr.tid = unix.Gettid()
		ready <- nil
		tr.loop() // ends locked, so the OS thread ends too and the kernel detaches all tracees
		return
	}
	defer runtime.UnlockOSThread()
	if tries == 0 {
		close(tr.done)
		ready <- errors.New("ptrace: every OS thread of this process has children")
		return
	}
	inner := make(chan error)
	go tr.start(inner, tries-1)
	ready <- <-inner
}

// missedEvents is how late an event may be seen whose signal was missed.
const missedEvents = 10 * time.Millisecond

// loop runs jobs and serves events between them until jobs is closed.
func (tr *tracer) loop() {
	defer close(tr.done)
	defer tr.release()
	// Signals may be missed: SIGCHLD is off while another Process of this program is in a stop.
	tick := time.NewTicker(missedEvents)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case j, ok := <-tr.jobs:
			if !ok {
				return
			}
			j.result <- tr.run(j.fn)
		case <-tr.sigchld:
		}
		tr.serve()
	}
}

// run calls fn; a panic in it is handed to the goroutine that waits for the result.
func (tr *tracer) run(fn func(*tracer) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked{v}
		}
	}()
	return fn(tr)
}

// panicked carries a panic from the tracer's goroutine to the caller's.
type panicked struct{ value any }

func (p panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// release closes what the tracer holds.
func (tr *tracer) release() {
	if tr.sigchld != nil {
		signal.Stop(tr.sigchld)
	}
	for _, t := range tr.threads {
		tr.unfollow(&t.wait)
		tr.forgetCall(t)
	}
	tr.forgetWaits()
	if tr.taskDir >= 0 {
		unix.Close(tr.taskDir)
	}
	tr.mem.close()
}

// end lets the OS thread end, which detaches every tracee, and waits for that.
func (tr *tracer) end() error {
	close(tr.jobs)
	<-tr.done
	path := "/proc/self/task/" + strconv.Itoa(tr.tid)
	for end := time.Now().Add(10 * time.Second); ; nap(50_000) {
		if _, err := os.Stat(path); err != nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("ptrace: thread %d, which traces process %d, does not end", tr.tid, tr.p.PID)
		}
	}
}

// do runs fn on the tracer's thread, starting the tracer if there is none.
func (p *Process) do(op string, fn func(*tracer) error) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return p.fail(op, 0, ErrClosed, "", nil)
	}
	if p.tracer == nil {
		tr, err := newTracer(p)
		if err != nil {
			p.mu.Unlock()
			return err
		}
		p.tracer = tr
	}
	result := make(chan error, 1)
	// The lock is held while the job is handed over, so that Close cannot close the channel.
	p.tracer.jobs <- job{fn, result}
	p.mu.Unlock()
	err := <-result
	if pv, ok := err.(panicked); ok {
		panic(pv.value)
	}
	return err
}

// usable reports why nothing can be done with the target any more; nil if it can.
func (tr *tracer) usable(op string) error {
	switch {
	case tr.exec:
		return tr.p.fail(op, 0, ErrExec, "", nil)
	case tr.ended:
		return tr.p.fail(op, 0, ErrExited, "", nil)
	}
	return nil
}

// add enters a thread into the table.
func (tr *tracer) add(t *tracee) *tracee {
	tr.threads = append(tr.threads, t)
	tr.byTID[t.tid] = t
	return t
}

// remove takes a thread out of the table.
func (tr *tracer) remove(t *tracee) {
	tr.unfollow(&t.wait)
	tr.forgetCall(t)
	delete(tr.byTID, t.tid)
	for i := range tr.threads {
		if tr.threads[i] == t {
			tr.threads = append(tr.threads[:i], tr.threads[i+1:]...)
			break
		}
	}
	for _, t := range tr.threads {
		if !t.zombie && !t.worker {
			return
		}
	}
	tr.ended = tr.ended || tr.p.Ended()
}

// buried deals with the death of a traced thread: it is reaped at once, because its process waits
// for that. The main thread of a child of ours is left to whoever started it.
func (tr *tracer) buried(tid int) {
	if tid != tr.p.PID || !tr.ownChild {
		waitConsume(tid)
	}
	if t := tr.byTID[tid]; t != nil {
		tr.remove(t)
	}
	if tid == tr.p.PID {
		tr.ended = true
	}
}

// peek looks for a stop or the death of t, without waiting. It reports whether there was
// one; after a death t is no longer in the table.
func (tr *tracer) peek(t *tracee) bool {
	switch e := waitPeek(t.tid, &tr.si); {
	case e == syscall.ECHILD:
		// It is gone, or it has become the main thread (execve): that one is then no zombie any more, and
		// what it was stopped for is over.
		if l := tr.byTID[tr.p.PID]; l != nil {
			l.zombie, l.stopped = false, false
		}
		tr.remove(t)
		return true
	case e != 0 || tr.si.PID == 0:
		return false
	}
	if tr.si.Code != cldTrapped && tr.si.Code != cldStopped {
		tr.buried(t.tid)
		return true
	}
	tr.arrived(t)
	return true
}

// arrived enters the stop that waitPeek has just found. That of execve has to be consumed: until
// then the kernel refuses every request, since we might mean the former main thread
// (looks_like_a_spurious_pid in kernel/ptrace.c). It carries no signal that could be lost.
func (tr *tracer) arrived(t *tracee) {
	t.stopped, t.stop = true, decodeStop(tr.si.Status)
	if t.stop.event == unix.PTRACE_EVENT_EXEC {
		waitConsume(t.tid)
	}
}

// Codes of SIGCHLD (sigaction(2)).
const (
	cldTrapped = 4
	cldStopped = 5
)

// attend does for others what cannot wait while one thread is being waited for: reaping those that were killed
// in their stops, for which execve waits, and letting new processes go, for which a vfork parent waits.
// The kernel reports stops to waitid even if it is asked for deaths only, so each is asked by itself.
func (tr *tracer) attend() {
	for i := 0; i < len(tr.threads); {
		t := tr.threads[i]
		if t.stopped && waitPeek(t.tid, &tr.si) == 0 && tr.si.PID != 0 && tr.si.Code != cldTrapped && tr.si.Code != cldStopped {
			tr.buried(t.tid)
		}
		if i < len(tr.threads) && tr.threads[i] == t {
			i++
		}
	}
	tr.freeStrays()
}

// serve answers every event that is pending.
func (tr *tracer) serve() {
	for tr.seized {
		if e := waitPeek(waitAny, &tr.si); e != 0 || tr.si.PID == 0 {
			if e == syscall.ECHILD {
				tr.ended = tr.ended || tr.p.Ended()
			}
			return
		}
		tid := int(tr.si.PID)
		if tr.si.Code != cldTrapped && tr.si.Code != cldStopped {
			if tid == tr.p.PID && tr.ownChild {
				// Left as a zombie for our own process's wait; it would be reported for ever.
				tr.ended = true
				tr.seized = false
				return
			}
			tr.buried(tid)
			continue
		}
		t := tr.byTID[tid]
		if t == nil {
			if t = tr.adopt(tid); t == nil {
				continue
			}
		}
		tr.arrived(t)
		if tr.readRegs(t) == nil {
			tr.repair(t)
		}
		if t.dying {
			return // its death is reported next
		}
		tr.note(t)
		tr.resume(t)
	}
}

// adopt deals with a tracee that is not in the table: a new thread is entered, a new process
// is let go. Preconditions: tid is stopped.
func (tr *tracer) adopt(tid int) *tracee {
	if _, err := os.Stat("/proc/" + strconv.Itoa(tr.p.PID) + "/task/" + strconv.Itoa(tid)); err == nil {
		return tr.add(&tracee{tid: tid})
	}
	tr.letGo(tid)
	return nil
}

// letGo detaches a new process before its first instruction, and remembers it if it shares the
// target's memory.
func (tr *tracer) letGo(tid int) {
	if tr.shares(tr.anyLive(), tid) {
		tr.sharers = append(tr.sharers, tid)
	}
	ptrace(unix.PTRACE_DETACH, tid, 0, 0)
	for i, s := range tr.strays {
		if s == tid {
			tr.strays = append(tr.strays[:i], tr.strays[i+1:]...)
			break
		}
	}
}

// anyLive returns a thread of the target that has not ended.
func (tr *tracer) anyLive() int {
	for _, t := range tr.threads {
		if !t.zombie && !t.worker {
			return t.tid
		}
	}
	return tr.p.PID
}

// note records what an event of a stopped tracee means for the process.
func (tr *tracer) note(t *tracee) {
	switch t.stop.event {
	case unix.PTRACE_EVENT_EXEC:
		// All other threads are gone, and t is the main thread now (ptrace(2), "execve(2) under ptrace").
		tr.exec = true
		for i := len(tr.threads) - 1; i >= 0; i-- {
			if o := tr.threads[i]; o != t {
				tr.remove(o)
			}
		}
	case unix.PTRACE_EVENT_CLONE, unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK:
		msg, e := ptraceEventMsg(t.tid)
		if e != 0 || msg == 0 {
			return
		}
		child := int(msg)
		if tr.byTID[child] != nil {
			return
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(tr.p.PID) + "/task/" + strconv.Itoa(child)); err == nil {
			tr.add(&tracee{tid: child})
		} else {
			tr.strays = append(tr.strays, child)
		}
	}
}

// resume lets a stopped tracee go on as it would have without us. Preconditions: t.stopped.
func (tr *tracer) resume(t *tracee) {
	if tr.exec { // nothing more will be done to it
		tr.detach(t)
		tr.forget()
		return
	}
	t.stopped = false
	t.wait.resumed = time.Now()
	tr.resumed(t)
	var e syscall.Errno
	switch {
	case t.stop.group():
		e = ptrace(unix.PTRACE_LISTEN, t.tid, 0, 0)
	case t.stop.delivery():
		e = ptrace(unix.PTRACE_CONT, t.tid, 0, uintptr(t.stop.sig))
	default:
		e = ptrace(unix.PTRACE_CONT, t.tid, 0, 0)
	}
	t.dying = e != 0 // killed meanwhile
}

// mourn reaps the threads that were killed while they were stopped.
func (tr *tracer) mourn() {
	for end := time.Now().Add(defaultPatience); tr.seized && time.Now().Before(end); nap(20_000) {
		if !slices.ContainsFunc(tr.threads, func(t *tracee) bool { return t.dying }) {
			return
		}
		tr.serve()
	}
}
