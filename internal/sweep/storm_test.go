package sweep

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotpatch/internal/victim"
)

// TestStorm applies and reverts, and dies on the way every other time, while two handlers of the target run up to 10,000 times
// a second each. No run of a handler is lost, and nothing else is disturbed.
func TestStorm(t *testing.T) {
	rounds := max(victim.Scale(8, 4), 400 / *every)
	begin := time.Now()
	w := &world{t: t, h: newTool(t), more: []string{"storm"}}
	w.replace()
	instants := map[string]int{} // of each verb
	deaths := 0
	for i := range rounds {
		c := command{1, 2, "apply"}
		if i%4 >= 2 {
			c = command{2, 1, "revert"}
		}
		if err := w.bring(c.from); err != nil {
			t.Fatal(err)
		}
		kill := 0
		if n := instants[c.verb]; i%2 == 1 && n > 0 {
			kill = 1 + (i*37+*offset)%n
		}
		r, err := w.stormy(c, kill)
		if err != nil {
			t.Fatalf("%v\n%v", err, r)
		}
		if r.code == exitKilled {
			deaths++
		} else {
			instants[c.verb] = len(r.names)
		}
	}
	said := w.tg.v.Ask("storm")
	var users, alarms int
	if _, err := fmt.Sscanf(said, "ok %d %d", &users, &alarms); err != nil {
		t.Errorf("the target says %q", said)
	}
	t.Logf("sweep: %d applies and reverts, %d deaths; handlers' runs: %d SIGUSR1, %d SIGALRM; %.0f s", rounds, deaths, users, alarms,
		time.Since(begin).Seconds())
	w.retire()
}

// stormy runs a command, which dies at an instant (0: never), and judges what it leaves.
func (w *world) stormy(c command, kill int) (*run, error) {
	w.tg.permit(version(c.from) | version(c.to))
	r := w.h.run(w.t, []string{"HOTPATCH_KILL_AT=" + strconv.Itoa(kill)}, w.args(c)...)
	seen, err := w.tg.observe()
	switch {
	case err != nil:
		return r, err
	case r.code == exitDone && seen == version(c.to), r.code == exitKilled && (seen == version(c.to) || seen == version(c.from)):
	default:
		return r, fmt.Errorf("it answers as %v", seen)
	}
	w.tg.permit(seen)
	if err := w.h.truth(w.t, w.tg, seen); err != nil {
		return r, err
	}
	if n, err := w.disturbance(0); err != nil || n > 0 && (r.code != exitKilled || !gap(r, w.epoll)) {
		return r, fmt.Errorf("%d times EINTR in epoll_wait (%w)", n, err)
	}
	if said := w.tg.v.Ask("storm"); !strings.HasPrefix(said, "ok ") {
		return r, fmt.Errorf("the target says %q", said)
	}
	return r, w.tg.err()
}
