package sweep

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scenario is a run of hotpatch that is killed at every instant in turn.
type scenario struct {
	name string
	command
	held bool // a thread is inside one of the functions when it begins
	torn torn // where a run of the same command died before
}

// torn is where a run died whose work the next one has to settle.
type torn int

const (
	whole   torn = iota // there was none
	tornOld             // in front of go: the version before is in force
	tornNew             // behind go: the new one is
)

// TestKilled kills hotpatch before and behind every operation on the target.
func TestKilled(t *testing.T) {
	h := newTool(t)
	for turn, s := range []scenario{
		{name: "apply", command: command{1, 2, "apply"}},
		{name: "apply that waits", command: command{1, 2, "apply"}, held: true},
		{name: "revert", command: command{2, 1, "revert"}},
		{name: "replace", command: command{2, 3, "replace"}},
		{name: "apply after a death in front of go", command: command{1, 2, "apply"}, torn: tornOld},
		{name: "apply after a death behind go", command: command{1, 2, "apply"}, torn: tornNew},
		{name: "revert after a death behind go", command: command{2, 1, "revert"}, torn: tornNew},
	} {
		t.Run(s.name, func(t *testing.T) {
			k := &killing{world: world{t: t, h: h, turn: turn}, scenario: s}
			k.sweep()
		})
	}
}

// killing is a sweep of one scenario.
type killing struct {
	world
	scenario
	busy   int  // instants of a run that gives up because of the held thread
	tried  int  // instants of the last run until the thread left
	atomic bool // the report says that no death can leave a mixture

	outcomes map[string]int
	eintrs   int
}

func (k *killing) sweep() {
	begin := time.Now()
	k.outcomes = make(map[string]int)
	n := k.rehearse()
	wrong := 0
	rarely := 1
	if k.torn != whole {
		rarely = 3
	}
	for i, at := range due(n, rarely, k.turn) {
		k.renew()
		if err := k.step(at, i%2 == 0); err != nil {
			k.t.Errorf("death at instant %d of %d: %v", at, n, err)
			if wrong++; wrong == 10 {
				k.t.Fatal("and so on")
			}
			k.world.replace()
		}
	}
	k.retire()
	k.t.Logf("sweep: %d instants, %d deaths: %d old, %d new, %d mixed (atomic: %v); %d ended before; %d EINTR; %.0f s", n,
		k.outcomes["old"]+k.outcomes["new"]+k.outcomes["mixed"], k.outcomes["old"], k.outcomes["new"], k.outcomes["mixed"], k.atomic,
		k.outcomes["ended"], k.eintrs, time.Since(begin).Seconds())
}

// rehearse makes the run without a death, and returns how many instants it has.
func (k *killing) rehearse() int {
	k.t.Helper()
	k.renew()
	if err := k.prepare(); err != nil {
		k.t.Fatal(err)
	}
	if k.held {
		k.tg.hold()
		r := k.h.run(k.t, nil, k.args(k.command, "--wait", "0s")...)
		if r.code != exitBusy {
			k.t.Fatalf("a thread is in the function: %v", r)
		}
		k.busy = len(r.names)
		if err := k.released(); err != nil {
			k.t.Fatal(err)
		}
	}
	k.tg.permit(k.before() | version(k.to))
	r, err := k.killedAt(k.busy+never, "--json")
	if err != nil || r.code != exitDone {
		k.t.Fatalf("%v (%v)", r, err)
	}
	k.tg.permit(version(k.to))
	if err := k.settled(version(k.to), 0); err != nil {
		k.t.Fatal(err)
	}
	k.atomic = strings.Contains(r.out, `"atomic": true`)
	return k.busy + len(r.names) - k.tried
}

// prepare brings the target to where the run begins.
func (k *killing) prepare() error {
	if err := k.bring(k.from); err != nil || k.torn == whole {
		return err
	}
	k.tg.permit(version(k.from) | version(k.to))
	r := k.tear()
	seen, err := k.tg.observe()
	if err == nil && (seen != k.before() || r.code != exitKilled) {
		err = fmt.Errorf("it answers as %v after %v", seen, r)
	}
	if _, eerr := k.disturbance(0); err == nil {
		err = eerr
	}
	return err
}

// tear makes a run that dies in front of its go, or behind it: the four bytes that it writes behind the jumps to gates.
func (k *killing) tear() *run {
	when := map[torn]string{tornOld: "before", tornNew: "after"}[k.torn]
	p := k.h.at(k.t, 1, k.args(k.command)...)
	gates := 0
	for at, name, ok := p.arrived(); ok; at, name, ok = p.arrived() {
		if k.text.jumped(name) {
			gates++
		}
		if gates == jumps && k.text.commits(name, when) {
			if err := p.cmd.Process.Kill(); err != nil {
				k.t.Error(err)
			}
			break
		}
		p.answer(answer{next: at + 1})
	}
	return p.wait()
}

// before is the version that is in force when the run begins.
func (k *killing) before() class {
	if k.torn == tornNew {
		return version(k.to)
	}
	return version(k.from)
}

// never is more instants than any run has.
const never = 1 << 30

// killedAt runs the command, which dies at an instant. If a thread is held, the instants up to busy are those of a run in which it
// stays; what comes behind is counted from where it leaves, as nobody knows how often a run tries before that.
func (k *killing) killedAt(at int, more ...string) (*run, error) {
	args := k.args(k.command, append(more, "--wait", "60s")...)
	env := []string{"HOTPATCH_KILL_AT=" + strconv.Itoa(at)}
	if !k.held {
		return k.h.run(k.t, env, args...), nil
	}
	tid := k.tg.hold()
	if at <= k.busy {
		r := k.h.run(k.t, env, args...)
		return r, k.released()
	}
	p := k.h.at(k.t, k.busy, args...)
	now, _, alive := p.arrived()
	err := k.tg.release()
	for alive && !k.tg.leaves(tid) {
		p.answer(answer{next: now + 1})
		now, _, alive = p.arrived()
	}
	k.tried = now
	p.answer(answer{kill: at - k.busy + now})
	r := p.wait()
	if err == nil {
		err = k.left()
	}
	return r, err
}

// released lets the held thread go, whose call is one of the version in which it began.
func (k *killing) released() error {
	if err := k.tg.release(); err != nil {
		return err
	}
	return k.left()
}

// left makes sure that the thread which was released has had the answer of the version in which its call began.
func (k *killing) left() error {
	got, err := k.tg.left()
	if err == nil && got != version(k.from) {
		err = fmt.Errorf("the thread that was inside has answered as %v", got)
	}
	return err
}

// step kills one run, looks at what it leaves, and brings the target forward or back from there.
func (k *killing) step(at int, forward bool) error {
	if err := k.prepare(); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	permit := k.before() | version(k.to)
	if !k.atomic {
		permit |= mixed
	}
	k.tg.permit(permit)
	r, err := k.killedAt(at)
	if err != nil {
		return err
	}
	seen, err := k.look(r)
	if err != nil {
		return fmt.Errorf("%w\n%v", err, r)
	}
	c := command{0, 1, "revert all"}
	switch {
	case forward && k.verb == "revert":
		c = command{1, 2, "apply"}
	case forward:
		c = k.command
	}
	if err := k.settle(c, seen); err != nil {
		return fmt.Errorf("it answered as %v; %w\nafter %v", seen, err, r)
	}
	return nil
}

// look judges the target after a run.
func (k *killing) look(r *run) (class, error) {
	seen, err := k.tg.observe()
	if err != nil {
		return seen, err
	}
	var outcome string
	switch {
	case r.code != exitKilled && (r.code != exitDone || seen != version(k.to)):
		return seen, fmt.Errorf("not killed, and it answers as %v", seen)
	case r.code != exitKilled:
		outcome = "ended"
	case seen == version(k.to):
		outcome = "new"
	case seen == k.before():
		outcome = "old"
	case seen&mixed != 0 && !k.atomic && k.midway(r):
		outcome = "mixed"
	default:
		return seen, fmt.Errorf("it answers as %v", seen)
	}
	k.outcomes[outcome]++
	if err := k.h.truth(k.t, k.tg, seen); err != nil {
		return seen, err
	}
	n, err := k.disturbance(0)
	if err != nil {
		return seen, err
	}
	if k.eintrs += n; n > 0 && !gap(r, k.epoll) {
		return seen, fmt.Errorf("%d times EINTR in epoll_wait", n)
	}
	return seen, k.tg.err()
}

// midway reports whether the run died between its first jump and its last.
func (k *killing) midway(r *run) bool {
	n := k.text.written(r)
	return n > 0 && n < jumps
}

// gap reports whether the run died between the interruption of the thread in epoll_wait and the repair of its call. That is
// the one disturbance that cannot be helped: the kernel gives EINTR, and hotpatch has no time to turn it into a restart.
func gap(r *run, epoll string) bool {
	open := false
	for _, name := range r.names {
		switch name {
		case "after INTERRUPT " + epoll, "before INTERRUPT " + epoll:
			open = true
		case "after SETREGSET " + epoll:
			open = false
		}
	}
	return open
}
