package ptrace

import (
	"runtime"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
)

// realtime is the tracer thread's scheduling class while it is raised.
type realtime struct {
	old    schedAttr
	raised bool
	was    bool // it had that class before
}

// raise gives the calling thread SCHED_FIFO, the lowest priority of it, if permitted. A thread
// that it creates does not inherit it (SCHED_RESET_ON_FORK, sched(7)).
func (r *realtime) raise() {
	const fifo, resetOnFork, priority = 1, 1, 1 // SCHED_FIFO, SCHED_FLAG_RESET_ON_FORK
	if e := schedGet(&r.old); e != 0 || r.old.Policy == fifo {
		r.was = e == 0
		return
	}
	r.raised = schedSet(&schedAttr{Policy: fifo, Flags: resetOnFork, Priority: priority}) == 0
}

// lower puts the calling thread back into the class it was in.
func (r *realtime) lower() {
	if r.raised {
		r.raised = false
		if schedSet(&r.old) != 0 {
			// Clearing RESET_ON_FORK needs a privilege that raising did not.
			r.old.Flags |= 1
			schedSet(&r.old)
		}
	}
}

// Urgent gives the calling goroutine a thread of its own, and this and the tracer's SCHED_FIFO, if permitted: what is to begin
// the moment that something happens does not wait for a processor. It is for waiting, not for working. The function that it returns ends it,
// and is called by the same goroutine.
func (p *Process) Urgent() (end func()) {
	runtime.LockOSThread()
	var own realtime
	own.raise()
	raise := func(tr *tracer) error { tr.urgent.raise(); return nil }
	lower := func(tr *tracer) error { tr.urgent.lower(); return nil }
	err := p.do("urgent", raise)
	return func() {
		if err == nil {
			_ = p.do("urgent", lower) // it fails only if the process has been closed, and the tracer with it
		}
		own.lower()
		runtime.UnlockOSThread()
	}
}

// hush counts the stops that are going on, and holds what they have changed for the whole program. It is
// the one package variable with state: both settings belong to the program, so stops of several
// processes at the same time must agree on who sets them back.
var hush struct {
	sync.Mutex
	stops   int
	percent int       // GC percent before the first
	child   sigaction // of SIGCHLD before the first
}

// saNoCldStop is SA_NOCLDSTOP of sigaction(2): no SIGCHLD for stops.
const saNoCldStop = 1

// hold turns the garbage collector off, waiting for a running cycle to end, and SIGCHLD for stops, which
// would run a handler and wake other threads of this program once for each thread that stops.
func hold() {
	hush.Lock()
	defer hush.Unlock()
	if hush.stops++; hush.stops > 1 {
		return
	}
	hush.percent = debug.SetGCPercent(-1)
	if sigactionGet(unix.SIGCHLD, &hush.child) == 0 {
		quiet := hush.child
		quiet.Flags |= saNoCldStop
		sigactionSet(unix.SIGCHLD, &quiet)
	}
}

// release undoes hold.
func release() {
	hush.Lock()
	defer hush.Unlock()
	if hush.stops--; hush.stops == 0 {
		sigactionSet(unix.SIGCHLD, &hush.child)
		debug.SetGCPercent(hush.percent)
	}
}
