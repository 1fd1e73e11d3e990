package ptrace

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// waiter is a running testdata/ptrace/timeouts.c, in its call.
type waiter struct {
	*victim.Victim
	t    *testing.T
	p    *Process
	call string
}

// waiters starts the program for each of the calls.
func waiters(t *testing.T, timeout time.Duration, calls ...string) []*waiter {
	t.Helper()
	var out []*waiter
	for _, call := range calls { // each with the program's further arguments
		name, more, _ := strings.Cut(call, " ")
		v := victim.Start(t, build(t, "timeouts.c"), append([]string{name, strconv.Itoa(int(timeout.Milliseconds()))}, strings.Fields(more)...)...)
		out = append(out, &waiter{v, t, open(t, v.PID), call})
	}
	for _, w := range out {
		if got := w.Ask("go"); got != "waiting" {
			t.Fatal(got)
		}
		eventually(t, "in its call", func() bool {
			in, err := w.p.syscallInfo(w.PID)
			return err == nil && in.In
		})
	}
	return out
}

// stay keeps the program on the CPU on which it waits.
func (w *waiter) stay() {
	w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.PID))
	if err != nil {
		w.t.Fatal(err)
	}
	cpu, ok := statCPU(b)
	if !ok {
		w.t.Fatalf("no CPU in %q", b)
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(w.PID, &set); err != nil {
		w.t.Fatal(err)
	}
}

// took is how long the call lasted.
func (w *waiter) took() time.Duration {
	w.t.Helper()
	line := w.Line()
	ms, err := strconv.Atoi(strings.TrimPrefix(line, "ok "))
	if err != nil {
		w.t.Fatalf("victim said %q", line)
	}
	return time.Duration(ms) * time.Millisecond
}

// early is what a timeout in milliseconds may lose by rounding.
const early = 10 * time.Millisecond

// TestTimeoutsDoNotAddUp stops a thread in each call that times out every few milliseconds, resumed or let go. One whose timeout began
// afresh each time ends only when the stops do; these are named. A machine that is busy with other things may not get round to the stops in
// time: such a round shows less, and another is made with longer timeouts. An emulated one gets round to a few calls at a time.
func TestTimeoutsDoNotAddUp(t *testing.T) {
	calls := []string{"nanosleep", "clock_nanosleep", "clock_abs", "futex", "futex_abs", "poll", "ppoll", "select", "pselect", "epoll_wait", "epoll_pwait",
		"epoll_pwait2", "sigtimedwait", "semtimedop", "io_getevents", "recvfrom", "read"}
	for _, detach := range []bool{false, true} {
		for some := range slices.Chunk(calls, victim.Scale(len(calls), 6)) {
			often := false
			for try := range 4 {
				timeout := time.Duration(victim.Scale(400, 2000)) * time.Millisecond << try
				name := map[bool]string{false: "resumed", true: "let go"}[detach]
				if !t.Run(name, func(t *testing.T) { often = stopTimeouts(t, some, timeout, detach) }) || often {
					break
				}
			}
			if !often && !t.Failed() {
				t.Error("the stops never came often enough")
			}
		}
	}
}

// stopTimeouts makes one round, and reports whether the stops came often enough.
func stopTimeouts(t *testing.T, calls []string, timeout time.Duration, detach bool) (often bool) {
	t.Helper()
	most := 3 * timeout
	afresh := []string{"epoll_pwait2", "sigtimedwait", "semtimedop", "io_getevents", "recvfrom", "read"}
	all := waiters(t, timeout, calls...)
	begin := time.Now()
	last, gap, n := begin, time.Duration(0), 0
	for ; time.Since(begin) < most; n++ {
		for _, w := range all {
			if _, err := w.p.Stop(StopOptions{Detach: detach, Deadline: soon()}, noop); err != nil {
				t.Fatal(err)
			}
		}
		nap(5_000_000)
		gap, last = max(gap, time.Since(last)), time.Now()
	}
	often = gap < timeout/2
	for _, w := range all {
		d, begins := w.took(), slices.Contains(afresh, w.call)
		if d < timeout-early || often && (d >= most) != begins {
			t.Errorf("%s of %v took %v under %d stops in %v, let go: %v", w.call, timeout, d, n, most, detach)
		}
		named := slices.Contains(w.p.Afresh(), Afresh{w.PID, w.call})
		if often && named != begins && !strings.HasPrefix(w.call, "epoll_") { // where the first stop's part may not be known
			t.Errorf("%s: begun afresh: %v", w.call, w.p.Afresh())
		}
	}
	t.Logf("%d stops of each, at most %v apart", n, gap)
	return often
}

// TestTimeoutIsKeptAtTheFirstStop: a timeout in a register is shortened by what was waited before the first stop or borrowing. Where
// the thread was woken on another CPU that is not known, and the call is named; nor is it without perf events.
func TestTimeoutIsKeptAtTheFirstStop(t *testing.T) {
	timeout := time.Duration(victim.Scale(1, 12)) * time.Second
	before, late := timeout*7/10, timeout*6/10 // afresh would be later than that
	all := waiters(t, timeout, "epoll_wait", "epoll_pwait", "epoll_wait", "epoll_pwait", "epoll_wait", "epoll_pwait")
	for _, w := range all[2:] { // else all might be woken on the other one, where the test runs
		w.stay()
	}
	for begin := time.Now(); time.Since(begin) < before; {
		nap(int64(time.Until(begin.Add(before)))) // a signal ends it
	}
	for i, w := range all {
		if i%4 < 2 {
			stops(t, w.p, 1)
		} else if err := w.p.Borrow(borrowPage); err != nil {
			t.Fatal(err)
		}
	}
	known := 0
	for _, w := range all {
		d := w.took()
		if d < timeout-early {
			t.Errorf("%s of %v took %v", w.call, timeout, d)
		}
		if len(w.p.Afresh()) == 0 {
			known++
			if d < timeout-early || d >= timeout+late {
				t.Errorf("%s of %v with a stop after %v took %v", w.call, timeout, before, d)
			}
		}
		t.Log(w.call, d, w.p.Afresh())
	}
	if known > 0 != perfEvents {
		t.Errorf("how long a thread had waited was known %d times", known)
	}
}

func TestExecStart(t *testing.T) {
	const head = "head (20043, #threads: 1)\n-------------------------------------------------------------------\n"
	for _, tt := range []struct {
		name, text string
		want       time.Duration
		ok         bool
	}{
		{name: "as of 6.18", text: head + "se.exec_start                                :      22545185.830226\nse.vruntime : 1.0\n", want: 22545185830226, ok: true},
		{name: "as of 3.10", text: head + "se.exec_start                      :         12.000001\n", want: 12000001, ok: true},
		{name: "a name that looks like it", text: "x\nse.exec_start (1, #threads: 1)\n"},
		{name: "cut off", text: head + "se.exec_start   :   12.0000"},
		{name: "no number", text: head + "se.exec_start   :   x.000000\n"},
		{name: "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := execStart([]byte(tt.text)); ok != tt.ok || ok && got != tt.want {
				t.Errorf("%d %v, want %d", got, ok, tt.want)
			}
		})
	}
}

func TestStatCPU(t *testing.T) {
	const line = "7 (a) b 1) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 5 6 7 18446744073709551615 1 1 0 0 0 0 0 0 0 1 0 0 17 3 0 0 0 0 0\n"
	if cpu, ok := statCPU([]byte(line)); !ok || cpu != 3 {
		t.Errorf("%d %v", cpu, ok)
	}
	for n := range len(line) - len("3 0 0 0 0 0\n") - 1 {
		if cpu, ok := statCPU([]byte(line[:n])); ok {
			t.Fatalf("%q: %d", line[:n], cpu)
		}
	}
}

// TestStrictFilter: a seccomp filter that knows the timeout never sees another one. What has begun afresh for that is named.
func TestStrictFilter(t *testing.T) {
	timeout := time.Duration(victim.Scale(300, 2000)) * time.Millisecond
	all := waiters(t, timeout, "epoll_wait strict", "epoll_pwait strict")
	for range 3 {
		for _, w := range all {
			stops(t, w.p, 1)
		}
	}
	for _, w := range all {
		if d := w.took(); d < timeout-early {
			t.Errorf("%s of %v took %v", w.call, timeout, d)
		}
		if len(w.p.Afresh()) != 1 {
			t.Errorf("%s: begun afresh: %v", w.call, w.p.Afresh())
		}
	}
}
