package inject

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hotpatch/ptrace"
)

// maxLate is how many stops in a row may take longer than is allowed: the machine may have been busy with something else.
const maxLate = 5

// attempts stops the process until the commit succeeds, the functions stay busy until the
// deadline, or something else is wrong.
func (t *transaction) attempts(ctx context.Context) error {
	r := t.plan.report
	t.wait = newWaiting(t.p.PID, t.opt.MaxPause)
	calm := func() {}
	for late := 0; ; {
		if err := ctx.Err(); err != nil {
			calm()
			return err
		}
		stats, err := t.p.Stop(ptrace.StopOptions{MaxPause: t.opt.MaxPause}, t.inStop)
		calm()
		calm = func() {}
		r.Tries++
		r.Pause, r.Threads = stats.Pause, stats.Threads
		t.stopped.StopStats = stats
		left := time.Until(t.end)
		switch {
		case t.changed:
			r.Notes = append(append(r.Notes, t.strangeNotes()...), t.stayingNotes()...)
			return err
		case errors.Is(err, ErrBusy):
			late = 0
			if left <= 0 {
				t.wait.watch.Close()
				return t.active.describe(t.p.PID, t.wait)
			}
			busy := t.active.brief(t.p.PID, t.wait)
			t.log.Debug("busy", "err", busy)
			t.opt.progress(busy.Error())
			calm = t.p.Urgent()
			if err := t.wait.pause(ctx, stats.Pause, left); err != nil {
				calm()
				return errors.Join(err, t.active.describe(t.p.PID, t.wait))
			}
		case errors.Is(err, ptrace.ErrShared) && left > 0: // it was waited for while the process ran
			t.opt.progress(err.Error())
		case errors.Is(err, ptrace.ErrPause) && late < maxLate && left > 0:
			late++
			t.log.Debug("too long", "err", err)
			if err := sleep(ctx, min(longNap, left)); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// inStop checks and commits, in a round if threads are busy. Preconditions: every thread is stopped.
func (t *transaction) inStop(s *ptrace.Stopped) error {
	t.wait.begin()
	for began := time.Now(); ; {
		check := time.Now()
		err := t.check(s)
		t.stopped.check = time.Since(check)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrBusy) {
			return err
		}
		again, rerr := t.wait.runOn(s, t.active.goals, began, time.Since(check))
		if rerr != nil {
			return rerr
		}
		if !again {
			t.wait.keep(t.active.goals)
			return err
		}
	}
	if s.Over() {
		return fmt.Errorf("process %d: %w before the commit", t.p.PID, ptrace.ErrPause)
	}
	defer t.stopped.commits(time.Now())
	return t.commit(s)
}
