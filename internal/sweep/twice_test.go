package sweep

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// meeting is what two hotpatches want of one process at the same time.
type meeting struct {
	name          string
	first, second command
	kill          bool // the first is killed where it waits
}

// TestTwice holds a hotpatch at each instant in turn while others come. One that is not to wait either does its work, because
// the first has not begun to trace, or says that the process is traced. One that waits does its work when the first has ended
// or died.
func TestTwice(t *testing.T) {
	h := newTool(t)
	apply, revert := command{1, 2, "apply"}, command{2, 1, "revert"}
	for turn, m := range []meeting{
		{name: "both apply", first: apply, second: apply},
		{name: "both apply, the first is killed", first: apply, second: apply, kill: true},
		{name: "apply and revert, the first is killed", first: apply, second: revert, kill: true},
		{name: "revert and apply", first: revert, second: apply},
		{name: "both revert, the first is killed", first: revert, second: revert, kill: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			begin := time.Now()
			w := &world{t: t, h: h}
			w.renew()
			if err := w.bring(m.first.from); err != nil {
				t.Fatal(err)
			}
			w.tg.permit(version(1) | version(2))
			n := len(h.run(t, nil, w.args(m.first)...).names)
			steps, wrong := due(n, 4, turn), 0
			for _, at := range steps {
				w.renew()
				if err := w.meet(m, at); err != nil {
					t.Errorf("the first at instant %d of %d: %v", at, n, err)
					if wrong++; wrong == 10 {
						t.Fatal("and so on")
					}
					w.replace()
				}
			}
			w.retire()
			t.Logf("sweep: %d instants, %d tried; %.0f s", n, len(steps), time.Since(begin).Seconds())
		})
	}
}

// meet makes two hotpatches meet at an instant of the first.
func (w *world) meet(m meeting, at int) error {
	if err := w.bring(m.first.from); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	w.tg.permit(version(1) | version(2))
	first := w.h.at(w.t, at, w.args(m.first, "--wait", "60s")...)
	_, _, alive := first.arrived()
	hasty := w.h.run(w.t, nil, w.args(m.second, "--wait", "0s")...)
	if !done(hasty, m.second) && !(hasty.code == exitFailed && strings.Contains(hasty.out, "traced")) {
		first.wait()
		return fmt.Errorf("the hasty one: %v", hasty)
	}
	second := w.h.begin(w.t, nil, w.args(m.second, "--wait", "60s")...)
	switch {
	case alive && m.kill:
		if err := first.cmd.Process.Kill(); err != nil {
			return err
		}
	case alive:
		first.answer(answer{})
	}
	r1, r2 := first.wait(), second.wait()
	if !done(r1, m.first) && !(alive && m.kill && r1.code == exitKilled) {
		return fmt.Errorf("the first: %v", r1)
	}
	if !done(r2, m.second) {
		return fmt.Errorf("the second: %v", r2)
	}
	seen, err := w.tg.observe()
	if err != nil {
		return err
	}
	same := m.first.verb == m.second.verb
	if seen != version(1) && seen != version(2) || same && seen != version(m.first.to) {
		return fmt.Errorf("it answers as %v", seen)
	}
	if err := w.h.truth(w.t, w.tg, seen); err != nil {
		return err
	}
	if n, err := w.disturbance(0); err != nil || n > 0 && !m.kill {
		return fmt.Errorf("%d times EINTR in epoll_wait (%w)", n, err)
	}
	return w.settle(m.second, seen)
}

// done reports whether a run did what it was to do, or found that it was done.
func done(r *run, c command) bool {
	return r.code == exitDone || strings.HasPrefix(c.verb, "revert") && r.code == exitFailed && strings.Contains(r.out, "no such patch")
}
