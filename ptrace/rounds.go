package ptrace

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// A round lets busy threads run on within a stop while the others stay where they are. Nothing of it outlives this process: the threads that
// stand still are in ordinary ptrace stops, which end with the tracer, and the goals are seen by perf events.

// RunOn lets the threads of goals run, while all others stay stopped, until each has reached its goal, where it is stopped again, or the time
// has come. A thread whose goal cannot be seen runs until then. Afterwards all threads are stopped, those born meanwhile as well, and
// s.Threads is made anew; what was read of the process before counts no longer. Reached says which goals were seen reached; the thread may
// be some instructions further, or back in the call.
//
// The time should leave room for what is to follow within the pause. After an error some threads may run, and nothing more can be done in
// this stop.
func (s *Stopped) RunOn(goals []Goal, until time.Time) error {
	tr := s.tr
	w := &tr.round
	w.Reset(goals)
	defer w.Close()
	for i := range goals {
		if t := tr.byTID[goals[i].TID]; t != nil && t.stopped && !goals[i].Reached {
			tr.resume(t)
		}
	}
	attended := time.Now()
	for d := int64(roundNapFirst); w.Left() > 0; d = min(2*d, roundNapMost) {
		left := time.Until(until)
		if left <= 0 {
			break
		}
		poll(w.fds, min(d, int64(left)))
		if w.collect() {
			d = roundNapFirst
		}
		if err := tr.roundEvents(w); err != nil {
			return err
		}
		if tr.freeStrays(); time.Since(attended) > roundAttend {
			tr.attend()
			attended = time.Now()
		}
	}
	if err := tr.usable("stop"); err != nil {
		return err
	}
	opts := s.opts
	opts.Deadline = time.Now().Add(roundPatience)
	if err := tr.collect(opts, s); err != nil {
		return err
	}
	s.Threads = s.Threads[:0]
	tr.show(s)
	return nil
}

// While threads run in a round their events are looked for this often, in ns: a signal that arrives waits so long.
const (
	roundNapFirst = 20_000
	roundNapMost  = 200_000
)

const (
	roundAttend   = 2 * time.Millisecond   // how often those that stand still are looked at: one may have been killed
	roundPatience = 500 * time.Millisecond // how long the running threads may take to stop at the end of a round
	roundGrace    = time.Millisecond       // and one that has reached its goal; it is stopped with the others later
)

// roundEvents stops those running threads that have reached their goal, and answers what the others report.
func (tr *tracer) roundEvents(w *Watch) error {
	for i := range w.goals {
		g := &w.goals[i]
		t := tr.byTID[g.TID]
		switch {
		case t == nil || t.zombie:
			g.Reached = true
		case t.stopped:
		case g.Reached:
			ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
			if err := tr.awaitUntil(t, time.Now().Add(roundGrace)); err != nil && !errors.Is(err, ErrTimeout) {
				return err
			}
		case tr.peek(t) && tr.byTID[g.TID] == t:
			if err := tr.readRegs(t); err != nil {
				return err
			}
			if t.dying {
				continue // its death is reported next
			}
			tr.repair(t)
			tr.note(t)
			tr.resume(t)
		}
		if err := tr.usable("stop"); err != nil {
			return err
		}
	}
	return nil
}
