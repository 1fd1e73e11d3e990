package sweep

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Which instants a test takes: those whose number leaves the remainder offset when it is divided by every.
var (
	every  = flag.Int("every", 301, "take every `N`th instant")
	offset = flag.Int("offset", 0, "begin at this `instant`")
)

// apart is how far the first instants of two sweeps of one test lie from each other, so that sweeps which take few of them take different ones.
const apart = 89

// due are the instants from 1 to n that the test's sweep number turn is to take, or a part of them, as rarely as is said. Of a run that has
// few, one is.
func due(n, rarely, turn int) []int {
	var out []int
	step, first := *every*rarely, *offset+turn*apart
	for at := 1; at <= n; at++ {
		if at%step == first%step {
			out = append(out, at)
		}
	}
	if len(out) == 0 {
		out = append(out, 1+first%n)
	}
	return out
}

// lives is how many steps one target is used for, so that it is seen to end well and its memory does not fill with what dead
// ones left.
const lives = 40

// world is a target and the tool that works on it.
type world struct {
	t     *testing.T
	h     *tool
	turn  int // number of the sweep in its test
	tg    *target
	steps int    // that tg has been used for
	epoll string // the thread of tg that sits in epoll_wait
	fds   int    // descriptors of tg at its start
	text  text   // of tg

	denied bool     // operations are denied: it may keep one
	more   []string // arguments of the target
	eintr  int      // what the target's epoll_wait had to bear so far
	named  int      // of that, what hotpatch has named
}

// renew starts a target in version 1 if there is none or it has been used enough.
func (w *world) renew() {
	w.t.Helper()
	if w.steps++; w.tg != nil && w.steps%lives != 0 {
		return
	}
	w.retire()
	w.replace()
}

// retire ends a target that was used. Deaths have left it no descriptors, once something has been applied and reverted.
func (w *world) retire() {
	w.t.Helper()
	if w.tg == nil {
		return
	}
	for _, v := range []int{2, 1} {
		if err := w.bring(v); err != nil {
			w.t.Error(err)
		}
	}
	if n := w.tg.descriptors(); n != w.fds && !w.denied {
		w.t.Errorf("%d descriptors after %d steps, %d at the start", n, w.steps, w.fds)
	}
	w.tg.end()
	w.tg.v.End()
	w.tg = nil
}

// replace starts a target in place of one that has ended or is not right any more.
func (w *world) replace() {
	w.t.Helper()
	if w.tg != nil {
		w.tg.end()
		w.tg.v.Kill()
	}
	w.tg, w.eintr, w.named = start(w.t, w.more...), 0, w.h.named
	if seen, err := w.tg.observe(); err != nil || seen != version(1) {
		w.t.Fatalf("a new target answers as %v: %v", seen, err)
	}
	w.epoll, w.fds, w.text = w.waiter(), w.tg.descriptors(), newText(w.t, w.tg)
}

// waiter is the thread that sits in epoll_wait.
func (w *world) waiter() string {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		tasks, _ := os.ReadDir("/proc/" + w.pid() + "/task")
		for _, d := range tasks {
			b, _ := os.ReadFile("/proc/" + w.pid() + "/task/" + d.Name() + "/syscall")
			if strings.HasPrefix(string(b), epollWait()) {
				return d.Name()
			}
		}
	}
	w.t.Fatal("no thread sits in epoll_wait")
	return ""
}

// epollWait is how /proc/TID/syscall of a thread in epoll_wait begins. arm64 has only epoll_pwait(2), by which the C library does it.
func epollWait() string {
	return map[string]string{"amd64": "232 ", "arm64": "22 "}[runtime.GOARCH]
}

func (w *world) pid() string { return strconv.Itoa(w.tg.v.PID) }

// A command that brings the target from one version to another.
type command struct {
	from, to int
	verb     string
}

// args are the arguments of the command.
func (w *world) args(c command, more ...string) []string {
	args := append([]string{"apply", "-p", w.pid()}, more...)
	switch c.verb {
	case "revert", "revert all":
		args[0] = "revert"
		if c.verb == "revert all" {
			args = append(args, "--all")
		}
		return args
	case "replace":
		args = append(args, "--replace")
	}
	return append(args, w.h.patches[c.to])
}

// bring makes the target answer as one version, by commands that nothing disturbs.
func (w *world) bring(v int) error {
	for range versions {
		seen, err := w.tg.observe()
		if err != nil || seen == version(v) {
			return err
		}
		c := command{1, v, "apply"}
		if seen != version(1) {
			c = command{0, 1, "revert"}
		}
		if err := w.settle(c, seen); err != nil {
			return err
		}
	}
	return fmt.Errorf("it does not come to version %d", v)
}

// settle runs a command that nothing disturbs, and shows that the target is where it leads to and that nothing is
// left to do. A revert may find that there is nothing to take back.
func (w *world) settle(c command, seen class) error {
	w.tg.permit(seen | version(c.to))
	r := w.h.run(w.t, nil, w.args(c)...)
	if !done(r, c) || r.code != exitDone && seen != version(c.to) {
		return fmt.Errorf("%v", r)
	}
	w.tg.permit(version(c.to))
	return w.settled(version(c.to), 0)
}

// settled fails unless the target answers as one version only, list says so and nothing else, and nobody is
// disturbed. It has extra more threads than at the start.
func (w *world) settled(want class, extra int) error {
	seen, err := w.tg.observe()
	if err != nil {
		return err
	}
	if seen != want {
		return fmt.Errorf("it answers as %v, want %v", seen, want)
	}
	if err := w.h.truth(w.t, w.tg, seen); err != nil {
		return err
	}
	l, err := w.h.list(w.t, w.tg.v.PID)
	if err != nil || len(l.attention) > 0 {
		return fmt.Errorf("list asks for attention: %v (%v)", l.attention, err)
	}
	if n, err := w.disturbance(extra); err != nil || n > 0 {
		return errors.Join(fmt.Errorf("%d times EINTR in epoll_wait", n), err)
	}
	return w.tg.err()
}

// disturbance is how often epoll_wait gave EINTR since it was last asked, beyond what hotpatch has named. Anything else that the target suffered is an error.
func (w *world) disturbance(extra int) (int, error) {
	n, err := w.tg.undisturbed(extra)
	if err != nil {
		return 0, err
	}
	before := w.eintr + w.h.named - w.named
	w.eintr, w.named = n, w.h.named
	return max(0, n-before), nil
}
