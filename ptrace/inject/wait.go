package inject

import (
	"context"
	"os"
	"strconv"
	"time"

	"hotpatch/arch"
	"hotpatch/ptrace"
)

// A function that is busy is waited for in two ways, which take turns.
//
// While the process runs, the threads that are inside are watched (ptrace.Watch): the next attempt begins the moment the last of them has
// returned. That is all it takes where the function is seldom in use, and the process is not disturbed by it.
//
// Where some thread or other is always inside, an attempt is a round (ptrace.Stopped.RunOn): the idle threads stay stopped while the busy ones
// run on, each until it has returned. A lock that a stopped thread owns may be what a running one waits for, so a round has a budget: when it
// is used up all threads run, and those that were still inside are watched. A round is not tried while a thread is inside that has been there
// for longer than that, nor before the process has been watched once.
const (
	// What the next attempts wait for busy threads that cannot be watched. It doubles with each, and is always a multiple of what
	// the last stop took.
	firstNap = 500 * time.Microsecond
	longNap  = 20 * time.Millisecond
	runShare = 10

	// An attempt is made after this time whatever is seen: a thread may leave a function without returning from it (longjmp).
	// It doubles with each that was in vain.
	quietNap  = 250 * time.Millisecond
	quietMost = 2 * time.Second
	// How often a thread that cannot be watched is looked at without stopping it.
	watchNap = time.Millisecond

	// A round's budget doubles with each that was too short, up to the longest pause that the user allows, or up to mostBudget.
	firstBudget = 2 * time.Millisecond
	mostBudget  = 20 * time.Millisecond

	// All stops of a transaction together may take this part of the time that it waits, and once a few budgets more.
	pauseShare = 25
	pauseExtra = 3

	// What a stop without a round takes at most. What it takes longer on a machine that is busy with other things is not saved elsewhere.
	ordinaryStop = time.Millisecond

	// How long threads run in a round of which it is not known where they return to, or that cannot be seen to return.
	firstSlice = 100 * time.Microsecond
	mostSlice  = time.Millisecond
)

// stay is a call that keeps a thread busy: the outermost one, which is known by where it returns to.
type stay struct {
	tid    int
	pc, sp arch.Addr
}

// waiting is what a transaction knows of the busy threads from one attempt to the next.
type waiting struct {
	pid    int
	began  time.Time
	paused time.Duration // all stops since then
	budget time.Duration // of a round
	most   time.Duration // to which that may grow
	limit  time.Duration // the longest pause; 0: none is given
	seen   map[stay]time.Time
	goals  []ptrace.Goal // of the last attempt: where the busy threads are idle again
	slow   bool          // goals are those of threads that are inside for longer than a round may take
	watch  *ptrace.Watch // of goals, from before the threads went on
	nap    time.Duration
	quiet  time.Duration
	tried  bool // the process has been watched once
	blind  bool // some goal of the last attempt cannot be seen reached
	round  struct {
		end   time.Time // when the budget of this stop is used up; zero: no round has begun
		slice time.Duration
	}
}

func newWaiting(pid int, maxPause time.Duration) *waiting {
	w := &waiting{pid: pid, began: time.Now(), most: mostBudget, limit: maxPause, nap: firstNap, quiet: quietNap, seen: make(map[stay]time.Time), watch: ptrace.NewWatch(nil)}
	if maxPause > 0 {
		w.most = maxPause
	}
	w.budget = min(firstBudget, w.most)
	return w
}

// stayOf returns the call that a thread is to return from.
func stayOf(g *ptrace.Goal) stay { return stay{g.TID, g.PC, g.SP} }

// isSlow reports whether the thread has been seen in its call for longer than a round may take.
func (w *waiting) isSlow(g *ptrace.Goal, now time.Time) bool {
	first, ok := w.seen[stayOf(g)]
	return ok && now.Sub(first) > w.budget
}

// begin prepares for a stop.
func (w *waiting) begin() {
	w.round.end, w.round.slice = time.Time{}, firstSlice
}

// runOn lets the busy threads of a check run until they have returned, if that is worth a try and there is time. again says that
// another check may find them idle. began is when the stop did, checked what the check took.
func (w *waiting) runOn(s *ptrace.Stopped, goals []ptrace.Goal, began time.Time, checked time.Duration) (again bool, err error) {
	now := time.Now()
	if !w.tried || len(goals) == 0 {
		return false, nil
	}
	if w.round.end.IsZero() {
		w.round.end = began.Add(w.budget)
		if w.limit > 0 { // the last check, and the commit, are a part of the pause
			w.round.end = began.Add(min(w.budget, w.limit-w.limit/8-2*checked))
		}
		for i := range goals {
			if w.isSlow(&goals[i], now) {
				return false, nil
			}
		}
	}
	until, unseen := w.round.end, w.blind
	for i := range goals {
		unseen = unseen || goals[i].PC == 0
	}
	if unseen {
		if slice := now.Add(w.round.slice); slice.Before(until) {
			until = slice
		}
		w.round.slice = min(2*w.round.slice, mostSlice)
	}
	if !now.Before(until) {
		return false, nil
	}
	if err := s.RunOn(goals, until); err != nil {
		return false, err
	}
	return unseen && time.Now().Before(w.round.end) || allReached(goals), nil
}

func allReached(goals []ptrace.Goal) bool {
	for i := range goals {
		if !goals[i].Reached {
			return false
		}
	}
	return true
}

// keep remembers the busy threads of an attempt that failed, and begins to watch those that are to be waited for: the slow ones, or
// if there are none all. Preconditions: every thread is stopped.
func (w *waiting) keep(goals []ptrace.Goal) {
	now := time.Now()
	if !w.round.end.IsZero() && now.After(w.round.end) {
		w.budget = min(2*w.budget, w.most)
	}
	seen := make(map[stay]time.Time, len(goals))
	var slow, fresh []ptrace.Goal
	for _, g := range goals {
		if g.Reached {
			continue
		}
		first, ok := w.seen[stayOf(&g)]
		if !ok {
			first = now
		}
		seen[stayOf(&g)] = first
		if now.Sub(first) > w.budget {
			slow = append(slow, g)
		} else {
			fresh = append(fresh, g)
		}
	}
	w.seen = seen
	w.goals, w.slow = slow, len(slow) > 0
	if !w.slow {
		w.goals = fresh
	}
	// Each thread that is watched makes the stop longer by a breakpoint.
	w.goals = w.goals[:min(len(w.goals), maxBusy)]
	w.watch.Reset(w.goals)
	w.blind = w.watch.Unseen() > 0
}

// stays returns for how long the thread of a goal has been seen in its call.
func (w *waiting) stays(g *ptrace.Goal) time.Duration {
	if first, ok := w.seen[stayOf(g)]; ok {
		return time.Since(first)
	}
	return 0
}

// pause waits until another attempt is worth it, at most for left. took is what the last stop did.
func (w *waiting) pause(ctx context.Context, took, left time.Duration) error {
	defer w.watch.Close()
	begin := time.Now()
	nap := max(w.nap, runShare*took)
	w.nap = min(2*w.nap, longNap)
	limit := w.quiet
	if !w.slow {
		limit = max(w.budget, nap)
	}
	limit = min(limit, left)
	for w.watch.Left() > 0 {
		gone := time.Since(begin)
		if gone >= limit || w.watch.Unseen() > 0 && gone >= nap && w.moved() {
			break
		}
		slice := limit - gone
		if w.watch.Unseen() > 0 {
			slice = min(slice, watchNap)
		}
		w.watch.Wait(ctx, slice)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	switch {
	case w.slow && w.watch.Left() > 0:
		w.quiet = min(2*w.quiet, quietMost)
	case w.slow:
		w.quiet = quietNap
	}
	w.tried = true
	return w.afford(ctx, took, left-time.Since(begin))
}

// afford waits until the stops have not taken more than their share of the time.
func (w *waiting) afford(ctx context.Context, took, left time.Duration) error {
	w.paused += min(took, w.budget+ordinaryStop)
	debt := pauseShare*(w.paused-pauseExtra*min(w.budget, mostBudget)) - time.Since(w.began)
	if debt <= 0 {
		return nil
	}
	return sleep(ctx, max(0, min(debt, left)))
}

// moved reports whether a thread that cannot be watched is no longer seen to be blocked in its call. Blocked threads show their stack
// pointers without being stopped.
func (w *waiting) moved() bool {
	for i := range w.goals {
		g := &w.goals[i]
		if g.Reached || w.watch.Sees(i) {
			continue
		}
		b, err := os.ReadFile(procPath(w.pid, "task/"+strconv.Itoa(g.TID)+"/syscall"))
		if err != nil {
			return true
		}
		if in, err := ptrace.ParseSyscall(b); err != nil || !in.Blocked || in.SP >= g.SP {
			return true
		}
	}
	return false
}

// sleep waits for a while, or until the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
