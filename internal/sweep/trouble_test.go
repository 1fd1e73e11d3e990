package sweep

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// trouble is what happens to the target or to hotpatch at one instant of a run.
type trouble struct {
	name string

	// strike makes it happen, while hotpatch waits at the instant, and says how hotpatch goes on.
	strike func(d *disturbing, p *process) answer

	// over ends it, when hotpatch has ended; nil: it has ended.
	over func(d *disturbing) error

	fatal  bool  // the target is dead then
	denies bool  // it lets operations fail, so it strikes in front of one
	slow   int   // it takes that many times fewer instants
	right  []int // exit codes
}

var troubles = []trouble{
	{name: "the target is killed", strike: killTarget, over: collected, fatal: true, right: []int{exitDone, exitFailed}},
	{name: "no memory", strike: limit(unix.RLIMIT_AS, 0), over: unlimit(unix.RLIMIT_AS), right: []int{exitDone, exitFailed}},
	{name: "no descriptors", strike: limit(unix.RLIMIT_NOFILE, 0), over: unlimit(unix.RLIMIT_NOFILE), right: []int{exitDone}},
	{name: "a thread is made", strike: makeThread, over: threadMade, right: []int{exitDone}},
	{name: "SIGINT", strike: interrupt(syscall.SIGINT), right: []int{exitDone, exitFailed}},
	{name: "SIGTERM", strike: interrupt(syscall.SIGTERM), right: []int{exitDone, exitFailed}},
	{name: "an operation is denied", strike: deny(1), denies: true, slow: 2, right: []int{exitDone, exitFailed, exitAttention}},
	{name: "all are denied", strike: deny(never), denies: true, slow: 8, right: []int{exitDone, exitFailed, exitAttention}},
}

// TestTrouble lets something happen at each instant of an apply and of a revert (under emulation, of one of them by turns). If the exit code says that nothing has
// changed, nothing has; the next command works in any case.
func TestTrouble(t *testing.T) {
	h := newTool(t)
	commands := [...]command{{1, 2, "apply"}, {2, 1, "revert"}}
	each := victim.Scale(len(commands), 1)
	for i, tr := range troubles {
		t.Run(tr.name, func(t *testing.T) {
			for k := range each {
				w := world{t: t, h: h, turn: i*len(commands) + k, denied: tr.denies}
				d := &disturbing{world: w, command: commands[(i+k)%len(commands)], trouble: tr, codes: make(map[int]int)}
				d.sweep()
			}
		})
	}
}

// disturbing is a sweep of one trouble in one command.
type disturbing struct {
	world
	command
	trouble
	instant int // the one at which it strikes
	limit   unix.Rlimit
	killed  chan time.Time // when the target had been collected
	atomic  bool           // the report says that no death can leave a mixture
	codes   map[int]int    // how often each exit code came
	slowest time.Duration  // from the instant to the end of hotpatch
	reaped  time.Duration  // from the instant to the target's being collected, the longest
}

func (d *disturbing) sweep() {
	begin := time.Now()
	d.renew()
	if err := d.bring(d.from); err != nil {
		d.t.Fatal(err)
	}
	d.tg.permit(version(d.from) | version(d.to))
	r := d.h.run(d.t, nil, d.args(d.command, "--json")...)
	n := len(r.names)
	d.atomic = strings.Contains(r.out, `"atomic": true`)
	if r.code != exitDone || n < 50 {
		d.t.Fatal(r)
	}
	steps, wrong := due(n, max(1, d.slow), d.turn), 0
	for i, at := range steps {
		d.renew()
		d.instant = at
		if err := d.step(i%2 == 0); err != nil {
			d.t.Errorf("%s, at instant %d of %d: %v", d.verb, at, n, err)
			if wrong++; wrong == 10 {
				d.t.Fatal("and so on")
			}
			d.world.replace()
		}
	}
	d.retire()
	reaped := ""
	if d.fatal {
		reaped = fmt.Sprintf(", collected after %.2f s", d.reaped.Seconds())
	}
	d.t.Logf("sweep: %s: %d instants, %d tried; exit codes %v; slowest %.2f s%s; %.0f s", d.verb, n, len(steps), d.codes,
		d.slowest.Seconds(), reaped, time.Since(begin).Seconds())
}

// step lets the trouble strike one run, and judges what it has done.
func (d *disturbing) step(forward bool) error {
	if err := d.bring(d.from); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	before, fds := d.tg.footprint(), d.tg.descriptors()
	d.tg.permit(version(d.from) | version(d.to))
	if d.denies && !d.atomic { // the commit cannot be undone, either
		d.tg.permit(version(d.from) | version(d.to) | mixed)
	}
	p := d.h.at(d.t, d.instant, d.args(d.command)...)
	at, name, ok := p.arrived()
	for ok && d.denies && !strings.HasPrefix(name, "before") {
		p.answer(answer{next: at + 1})
		at, name, ok = p.arrived()
	}
	start := time.Now()
	if ok {
		p.answer(d.strike(d, p))
	}
	r := p.wait()
	d.slowest = max(d.slowest, time.Since(start))
	d.codes[r.code]++
	if ok && d.over != nil {
		if err := d.over(d); err != nil {
			return fmt.Errorf("%w\n%v", err, r)
		}
	}
	if !slices.Contains(d.right, r.code) {
		return fmt.Errorf("%s: %v", name, r)
	}
	if d.fatal && ok {
		d.reaped = max(d.reaped, (<-d.killed).Sub(start))
		if r.code == exitDone && d.text.written(r) < jumps {
			return fmt.Errorf("%v", r)
		}
		d.world.replace()
		return nil
	}
	seen, err := d.look(r, before)
	if err == nil && d.tg.descriptors() > fds && !d.denies { // a later run may have to close one
		err = fmt.Errorf("%d descriptors, %d before", d.tg.descriptors(), fds)
	}
	c := command{0, 1, "revert"}
	if forward {
		c = command{1, 2, "apply"}
	}
	if err == nil {
		err = d.settle(c, seen)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\nafter %v", name, err, r)
	}
	return nil
}

// look compares what the exit code says with the target.
func (d *disturbing) look(r *run, before string) (class, error) {
	seen, err := d.tg.observe()
	if err != nil {
		return seen, err
	}
	switch {
	case r.code == exitDone && seen == version(d.to), r.code == exitAttention && seen&mixed == 0:
	case r.code == exitAttention && !d.atomic && strings.Contains(r.out, "could not be undone"):
	case r.code == exitFailed && seen == version(d.from):
		if now := d.tg.footprint(); now != before {
			return seen, fmt.Errorf("nothing has changed, it says, but its memory has:\n%s\nbefore:\n%s", now, before)
		}
	default:
		return seen, fmt.Errorf("it answers as %v", seen)
	}
	if err := d.h.truth(d.t, d.tg, seen); err != nil {
		return seen, err
	}
	l, err := d.h.list(d.t, d.tg.v.PID)
	// It could not read back what it had changed, or does not know whether it has mapped memory; or what it could not undo was
	// the journal only. The list that is made now can tell.
	unread := seen == version(d.to) || strings.Contains(r.out, "is not known") || strings.Contains(r.out, "not be undone")
	asks, said := len(l.attention) > 0, r.code == exitAttention
	if err == nil && asks != said && (asks || !unread) {
		err = fmt.Errorf("list asks for attention: %q", l.attention)
	}
	if err != nil {
		return seen, err
	}
	if n, err := d.disturbance(0); err != nil || n > 0 && !d.denies {
		return seen, fmt.Errorf("%d times EINTR in epoll_wait (%w)", n, err)
	}
	return seen, d.tg.err()
}

func killTarget(d *disturbing, _ *process) answer {
	d.killed = make(chan time.Time, 1)
	go func() {
		d.tg.v.Kill()
		d.killed <- time.Now()
	}()
	d.tg.end() // the clients, whose connections break
	return answer{}
}

// collected waits until the target has been collected, which hotpatch does not hinder.
func collected(d *disturbing) error {
	const patience = 10 * time.Second
	select {
	case at := <-d.killed:
		d.killed <- at
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the target's parent cannot collect it for %v", patience)
	}
}

// limit lowers a limit of the target's.
func limit(resource int, to uint64) func(*disturbing, *process) answer {
	return func(d *disturbing, _ *process) answer {
		if err := unix.Prlimit(d.tg.v.PID, resource, nil, &d.limit); err != nil {
			d.t.Fatal(err)
		}
		if err := unix.Prlimit(d.tg.v.PID, resource, &unix.Rlimit{Cur: to, Max: d.limit.Max}, nil); err != nil {
			d.t.Fatal(err)
		}
		return answer{}
	}
}

func unlimit(resource int) func(*disturbing) error {
	return func(d *disturbing) error { return unix.Prlimit(d.tg.v.PID, resource, &d.limit, nil) }
}

func makeThread(d *disturbing, _ *process) answer {
	d.tg.spawn()
	return answer{}
}

// threadMade makes sure that the thread answers as the others do, and ends.
func threadMade(d *disturbing) error {
	got, err := d.tg.spawned()
	if err == nil && got != version(d.from) && got != version(d.to) {
		err = fmt.Errorf("the new thread answers as %v", got)
	}
	return err
}

func interrupt(sig os.Signal) func(*disturbing, *process) answer {
	return func(d *disturbing, p *process) answer {
		if err := p.cmd.Process.Signal(sig); err != nil {
			d.t.Fatal(err)
		}
		return answer{}
	}
}

// deny lets a number of operations fail.
func deny(fails int) func(*disturbing, *process) answer {
	return func(d *disturbing, _ *process) answer {
		why := []syscall.Errno{syscall.EPERM, syscall.ESRCH, syscall.EIO}
		return answer{errno: why[d.instant / *every % len(why)], fails: fails}
	}
}

// footprint is the memory that hotpatch has mapped in the target.
func (tg *target) footprint() string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(tg.v.PID) + "/maps")
	if err != nil {
		return err.Error()
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if strings.Contains(line, "hotpatch") || len(f) == 5 && (f[1] == "r-xp" || f[1] == "r--p") {
			out = append(out, f[0]+" "+f[1])
		}
	}
	return strings.Join(out, "\n")
}

// descriptors is how many descriptors the target has open.
func (tg *target) descriptors() int {
	list, _ := os.ReadDir("/proc/" + strconv.Itoa(tg.v.PID) + "/fd")
	return len(list)
}
