package ptrace

import (
	"runtime/debug"
	"sync"
)

// realtime is the tracer thread's scheduling class while it is raised.
type realtime struct {
	old    schedAttr
	raised bool
}

// raise gives the calling thread SCHED_FIFO, the lowest priority of it, if permitted. A thread
// that it creates does not inherit it (SCHED_RESET_ON_FORK, sched(7)).
func (r *realtime) raise() {
	const fifo, resetOnFork, priority = 1, 1, 1 // SCHED_FIFO, SCHED_FLAG_RESET_ON_FORK
	if schedGet(&r.old) != 0 || r.old.Policy == fifo {
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

// gcHold counts the stops that hold the garbage collector off. It is the one package
// variable with state: GC percent belongs to the whole program, so two stops at the same time (of
// different processes) must agree on who turns it on again.
var gcHold struct {
	sync.Mutex
	stops   int
	percent int // before the first
}

// holdGC turns the garbage collector off and waits for a running cycle to end.
func holdGC() {
	gcHold.Lock()
	defer gcHold.Unlock()
	if gcHold.stops++; gcHold.stops == 1 {
		gcHold.percent = debug.SetGCPercent(-1)
	}
}

// releaseGC undoes holdGC.
func releaseGC() {
	gcHold.Lock()
	defer gcHold.Unlock()
	if gcHold.stops--; gcHold.stops == 0 {
		debug.SetGCPercent(gcHold.percent)
	}
}
