package inject

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hotpatch/ptrace"
)

// attempts stops the process until the commit succeeds, the functions stay busy until the
// deadline, or something else is wrong.
func (t *transaction) attempts(ctx context.Context) error {
	r := t.plan.report
	for nap := firstNap; ; nap = min(2*nap, longNap) {
		if err := ctx.Err(); err != nil {
			return err
		}
		stats, err := t.p.Stop(ptrace.StopOptions{MaxPause: t.opt.MaxPause}, t.inStop)
		r.Tries++
		r.Pause, r.Threads = stats.Pause, stats.Threads
		if !errors.Is(err, ErrBusy) || t.changed {
			return err
		}
		busy := t.active.describe(t.p.PID)
		left := time.Until(t.end)
		if left <= 0 {
			return busy
		}
		t.log.Debug("busy", "err", busy)
		t.opt.progress(busy.Error())
		if err := t.pause(ctx, max(nap, runShare*stats.Pause), left); err != nil {
			return errors.Join(err, busy)
		}
	}
}

// inStop checks and commits. Preconditions: every thread is stopped.
func (t *transaction) inStop(s *ptrace.Stopped) error {
	if err := t.check(s); err != nil {
		return err
	}
	if s.Over() {
		return fmt.Errorf("process %d: %w before the commit", t.p.PID, ptrace.ErrPause)
	}
	return t.commit(s)
}
