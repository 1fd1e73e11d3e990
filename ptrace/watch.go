package ptrace

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// Goal is where a thread is once a call that it is in has returned.
type Goal struct {
	TID int
	PC  arch.Addr // the return address; 0: not known, so that the return cannot be seen
	SP  arch.Addr // the least that the stack pointer is then: a call further in may return to the same place

	Reached bool // the thread has come there, or has ended
}

// Watch sees threads come to their goals while they run: nothing is stopped for it and no byte changes, and it disappears with this
// process. It is for one goroutine at a time, and need not belong to a [Process].
type Watch struct {
	goals  []Goal
	points []breakpoint  // as goals
	fds    []unix.PollFd // as goals
}

// maxWatched bounds how many threads are watched at a time: each takes a descriptor and two pages.
const maxWatched = 256

// NewWatch watches threads. One that cannot be watched (no goal, no breakpoint left in the processor, not permitted, too many) is never
// seen; [Watch.Unseen] counts them. The goals remain the caller's; their Reached fields are set. The caller closes the watch.
func NewWatch(goals []Goal) *Watch {
	w := new(Watch)
	w.Reset(goals)
	return w
}

// Reset makes w watch other threads. It may be called in a stop: then no return is missed.
func (w *Watch) Reset(goals []Goal) {
	w.Close()
	w.goals = goals
	for i := range goals {
		p := breakpoint{fd: -1}
		if g := &goals[i]; g.PC != 0 && !g.Reached && i < maxWatched {
			p, _ = setBreakpoint(g.TID, g.PC)
		}
		w.points = append(w.points, p)
		w.fds = append(w.fds, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN}) // a negative one is passed over
	}
}

// Close ends the watch: of no threads, until the next Reset.
func (w *Watch) Close() {
	for i := range w.points {
		w.points[i].clear()
	}
	w.goals, w.points, w.fds = nil, w.points[:0], w.fds[:0]
}

// Unseen is how many threads are not watched and have not reached their goal.
func (w *Watch) Unseen() int {
	n := 0
	for i := range w.goals {
		if w.points[i].fd < 0 && !w.goals[i].Reached {
			n++
		}
	}
	return n
}

// Sees reports whether the thread of goal i is watched, or was until it reached its goal.
func (w *Watch) Sees(i int) bool { return w.goals[i].Reached || w.points[i].fd >= 0 }

// Left is how many threads have not reached their goal.
func (w *Watch) Left() int {
	n := 0
	for i := range w.goals {
		if !w.goals[i].Reached {
			n++
		}
	}
	return n
}

// watchSlice is how late a Wait notices that its context has ended.
const watchSlice = 20 * time.Millisecond

// Wait waits until another thread has been seen at its goal, at most for d or until the context ends. It reports whether one was.
func (w *Watch) Wait(ctx context.Context, d time.Duration) bool {
	for end := time.Now().Add(d); ctx.Err() == nil; {
		left := time.Until(end)
		ts := unix.NsecToTimespec(int64(max(0, min(left, watchSlice))))
		unix.Ppoll(w.fds, &ts, nil) // an error, of a signal, is as good as the end of the time
		if w.collect() {
			return true
		}
		if left <= 0 {
			return false
		}
	}
	return false
}

// collect marks the goals that have been reached since the last time, and reports whether there was one.
func (w *Watch) collect() bool {
	found := false
	for i := range w.points {
		p, g := &w.points[i], &w.goals[i]
		if p.fd < 0 || w.fds[i].Revents == 0 {
			continue
		}
		ended := w.fds[i].Revents&unix.POLLIN == 0 // POLLHUP alone: the thread is gone
		w.fds[i].Revents = 0
		if ended || p.passed(g.SP) {
			g.Reached, found = true, true
			p.clear()
			w.fds[i].Fd = -1
		}
	}
	return found
}
