package inject

import (
	"fmt"
	"time"

	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
)

// proof says how a stopped thread was shown to be idle.
type proof struct {
	tid    int
	proven string // unwind.ByScan or unwind.ByCFI
	frames int    // that were walked
}

// idle enters an idle thread. Threads beyond the room that was made, because they were born since, are left out.
func (a *activeness) idle(tid int, act *unwind.Activity) {
	if len(a.proofs) < cap(a.proofs) {
		a.proofs = append(a.proofs, proof{tid, act.Proven, act.Walked})
	}
}

// stopTimes are the parts of a stop.
type stopTimes struct {
	ptrace.StopStats
	check, commit time.Duration
}

// commits ends the commit that began at a time.
func (s *stopTimes) commits(began time.Time) { s.commit = time.Since(began) }

// proven completes the report once the process runs again: what the stop of the commit was made of, and what it
// has shown. Nothing is shown by a stop without a commit.
func (t *transaction) proven() {
	r := t.plan.report
	if !t.changed {
		return
	}
	const phase = "commit/"
	s := &t.stopped
	r.Phases = append(r.Phases, Phase{phase + "stop", s.Stopping}, Phase{phase + "check", s.check}, Phase{phase + "write", s.commit}, Phase{phase + "resume", s.Resuming})
	scanned, walked := 0, 0
	for _, p := range t.active.proofs {
		r.Stacks = append(r.Stacks, StackReport{p.tid, threadName(t.p.PID, p.tid), p.proven, p.frames})
		r.Frames += p.frames
		if p.proven == unwind.ByScan {
			scanned++
		} else {
			walked++
		}
	}
	r.Notes = append(r.Notes, t.afreshNotes()...)
	r.Notes = append(r.Notes, interruptedNotes(t.p.PID, t.p.Interrupted())...)
	compared := 0
	for _, e := range t.wanted {
		compared += len(e.bytes)
	}
	r.Shown = []string{
		fmt.Sprintf("no thread was in code that changed, or was to return into it: %d by a scan of their stacks and registers, %d by their call frames (%d frames)",
			scanned, walked, r.Frames),
		fmt.Sprintf("the bytes that were replaced, and the functions that they are in, were those of the plan (%d bytes compared)", compared),
		"the mappings and the dynamic linker's state were those of the plan",
	}
}

// interruptedNotes names the calls that returned EINTR because of the stops.
func interruptedNotes(pid int, calls []ptrace.Interrupted) []string {
	var out []string
	for _, c := range calls {
		times := ""
		if c.Times > 1 {
			times = fmt.Sprintf(" (%d times)", c.Times)
		}
		out = append(out, fmt.Sprintf("thread %d (%s) began %s just as it was stopped: it may have returned EINTR%s", c.TID, threadName(pid, c.TID), c.Call, times))
	}
	return out
}

// afreshNotes names the calls whose timeouts began afresh because of the stops.
func (t *transaction) afreshNotes() []string {
	var calls []string
	threads := make(map[string][]int)
	for _, a := range t.p.Afresh() {
		if threads[a.Call] == nil {
			calls = append(calls, a.Call)
		}
		threads[a.Call] = append(threads[a.Call], a.TID)
	}
	var out []string
	for _, c := range calls {
		const what = "a timeout that was running began afresh"
		if tids := threads[c]; len(tids) == 1 {
			out = append(out, fmt.Sprintf("thread %d (%s) waits in %s: %s", tids[0], threadName(t.p.PID, tids[0]), c, what))
		} else {
			out = append(out, fmt.Sprintf("%d threads wait in %s: %s in each", len(tids), c, what))
		}
	}
	return out
}
