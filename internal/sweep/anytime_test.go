package sweep

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestAnytime kills hotpatch after random times, not at instants: the time between two operations is as good as any other. It
// gives the rate of the one disturbance that a death can cause.
func TestAnytime(t *testing.T) {
	const seed = 4
	deaths := max(10, 2000 / *every)
	begin := time.Now()
	random := rand.New(rand.NewPCG(seed, uint64(*offset)))
	w := &world{t: t, h: newTool(t)}
	outcomes := make(map[string]int)
	eintrs, longest := 0, make(map[string]time.Duration)
	for i, n := 0, 0; n < deaths; i++ {
		w.renew()
		c := command{1, 2, "apply"}
		if i%2 == 1 {
			c = command{2, 1, "revert"}
		}
		if err := w.bring(c.from); err != nil {
			t.Fatal(err)
		}
		limit := longest[c.verb]
		if limit == 0 || i%100 < 2 { // how long it takes now
			limit = longestRun
		} else {
			limit = time.Duration(random.Int64N(int64(limit)))
		}
		r, took := w.killedAfter(limit, c)
		if r.code != exitKilled {
			longest[c.verb] = took
		} else {
			n++
		}
		eintr, outcome, err := w.anytime(r, c)
		if err != nil {
			t.Fatalf("death %d: %v\n%v", n, err, r)
		}
		eintrs += eintr
		outcomes[outcome]++
	}
	w.retire()
	t.Logf("sweep: %d deaths at random times: %v; %d EINTR in epoll_wait; %.0f s", deaths, outcomes, eintrs,
		time.Since(begin).Seconds())
	if most := 2 + deaths/50; eintrs > most {
		t.Errorf("%d times EINTR, more than %d", eintrs, most)
	}
}

// killedAfter runs a command without counting its instants, and kills it after a time.
func (w *world) killedAfter(limit time.Duration, c command) (*run, time.Duration) {
	w.tg.permit(version(c.from) | version(c.to))
	begin := time.Now()
	p := w.h.begin(w.t, []string{"HOTPATCH_READS=", "HOTPATCH_PROBES="}, w.args(c)...)
	timer := time.AfterFunc(limit, func() { p.cmd.Process.Kill() })
	defer timer.Stop()
	r := p.wait()
	return r, time.Since(begin)
}

// anytime judges what a run leaves, and returns how often epoll_wait gave EINTR.
func (w *world) anytime(r *run, c command) (eintr int, outcome string, err error) {
	seen, err := w.tg.observe()
	switch {
	case err != nil:
		return 0, "", err
	case r.code == exitDone && seen == version(c.to):
		outcome = "ended"
	case r.code == exitKilled && seen == version(c.from):
		outcome = "old"
	case r.code == exitKilled && seen == version(c.to):
		outcome = "new"
	default:
		return 0, "", fmt.Errorf("it answers as %v", seen)
	}
	if err := w.h.truth(w.t, w.tg, seen); err != nil {
		return 0, "", err
	}
	if eintr, err = w.disturbance(0); err == nil && eintr > 0 && r.code != exitKilled {
		err = fmt.Errorf("%d times EINTR in epoll_wait", eintr)
	}
	if err == nil {
		err = w.tg.err()
	}
	return eintr, outcome, err
}
