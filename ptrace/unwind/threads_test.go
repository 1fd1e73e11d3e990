//go:build linux

package unwind_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/unwind"
)

// TestThreads stops a program whose threads are blocked in all the usual ways. Every stack can
// be walked to its thread's start, and exactly the threads that are in the replaced
// function are active, though the others' frames hold stale words that point there.
func TestThreads(t *testing.T) {
	for _, flags := range threadFlags {
		t.Run(flags[0], func(t *testing.T) {
			path := victim.Build(t, "gcc", []string{"unwind/threads.c"}, flags...)
			// Only the OS thread that stopped the victim's threads can let them go, and a victim is not gone before they are.
			runtime.LockOSThread()
			t.Cleanup(runtime.UnlockOSThread)
			v := victim.Start(t, path)
			tr := &tracee{t: t, pid: v.PID}
			tr.setAlarm()
			space, images, mainStack := tr.space()
			s := &stepper{tracee: tr}
			im := images[path]
			var targets []unwind.Target
			for _, name := range []string{"replaced", "depth"} {
				sym, ok := im.syms[name]
				if !ok {
					t.Fatalf("no function %s", name)
				}
				targets = append(targets, s.target(im, name, sym.Value, sym.Size))
			}
			names, threads := tr.stopAll(mainStack)
			space.PACMask = tr.pacMask()
			c := unwind.NewChecker(space, targets)
			proven := map[string]int{}
			for i, th := range threads {
				name := names[i]
				tr.checkWalk(name, space, th)
				a := c.Check(th, tr)
				t.Logf("%-16s active %v %s %s %s", name, a.Active, a.Proven, a.Where, a.Why)
				nested := strings.Contains(name, "nested") // on a stack that nobody names, which no check can see
				if a.Active != (nested || strings.HasPrefix(name, "busy")) {
					t.Errorf("thread %q: active %v (%s: %s)", name, a.Active, a.Where, a.Why)
				}
				if nested && !strings.Contains(a.Why, "alternate stacks one after another") && a.Target < 0 {
					t.Errorf("thread %q: no reason is named: %+v", name, a)
				}
				if a.Active && !nested && (a.Target < 0 || a.Where == "") {
					t.Errorf("thread %q: the target is not named: %+v", name, a)
				}
				proven[a.Proven]++
			}
			if proven[unwind.ByCFI] == 0 {
				t.Errorf("no thread had stale words (%v): the test shows nothing", proven)
			}
		})
	}
}

// stopAll stops the tracee's threads and returns their names.
func (tr *tracee) stopAll(mainStack unwind.Stack) (names []string, threads []*unwind.Thread) {
	tr.t.Helper()
	for _, tid := range tr.tids() {
		name, th := tr.stopped(tid, mainStack)
		names, threads = append(names, name), append(threads, th)
	}
	return names, threads
}

// tids returns the tracee's threads.
func (tr *tracee) tids() []int {
	tr.t.Helper()
	dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", tr.pid))
	if err != nil {
		tr.t.Fatal(err)
	}
	var tids []int
	for _, d := range dir {
		tid, err := strconv.Atoi(d.Name())
		if err != nil {
			tr.t.Fatal(err)
		}
		tids = append(tids, tid)
	}
	return tids
}

// stopped stops a thread, for as long as the test's OS thread lives or the tracee does.
func (tr *tracee) stopped(tid int, mainStack unwind.Stack) (name string, th *unwind.Thread) {
	tr.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/comm", tr.pid, tid))
	if err != nil {
		tr.t.Fatal(err)
	}
	if err := unix.PtraceSeize(tid); err != nil {
		tr.t.Fatal(err)
	}
	if err := unix.PtraceInterrupt(tid); err != nil {
		tr.t.Fatal(err)
	}
	one := &tracee{t: tr.t, pid: tid, alarm: tr.alarm}
	if ws := one.wait(); !ws.Stopped() {
		tr.t.Fatalf("thread %d: %v", tid, ws)
	}
	regs := one.regs()
	tr.t.Cleanup(func() {
		if unix.PtraceDetach(tid) != nil && tid != tr.pid {
			unix.Wait4(tid, nil, 0, nil) // it was killed, and is its tracer's to collect
		}
	})
	th = &unwind.Thread{TID: tid, Regs: regs.dwarf(), Stacks: []unwind.Stack{mainStack}}
	if tid != tr.pid {
		// The thread pointer lies in the mapping of the thread's stack.
		tp := one.threadPointer()
		th.Stacks[0] = tr.mapping(tp)
		th.Stacks[0].High, th.Stacks[0].Own = tp, true
	}
	if sp := regs.sp(); sp < th.Stacks[0].Low || sp >= th.Stacks[0].High {
		other := tr.mapping(sp)
		if other.Low == th.Stacks[0].Low { // above the thread's own one in its mapping
			other.Low = th.Stacks[0].High
		}
		th.Stacks = append(th.Stacks, other)
	}
	return strings.TrimSpace(string(b)), th
}

// mapping returns the writable mapping that holds a.
func (tr *tracee) mapping(a arch.Addr) unwind.Stack {
	tr.t.Helper()
	for _, m := range tr.writable {
		if m.Contains(a) {
			return unwind.Stack{Low: m.Start, High: m.End}
		}
	}
	tr.t.Fatalf("no writable mapping holds %#x", a)
	return unwind.Stack{}
}

// checkWalk fails the test unless the thread's stack can be walked to its start.
func (tr *tracee) checkWalk(name string, space *unwind.Space, th *unwind.Thread) {
	tr.t.Helper()
	n, signals, last := 0, 0, false
	err := space.Walk(&th.Regs, tr, func(f *unwind.Frame) bool {
		n++
		last = f.Last
		if f.Signal {
			signals++
		}
		return true
	})
	want := 0
	switch {
	case strings.Contains(name, "nested"):
		want = 2
	case strings.Contains(name, "handler"), strings.Contains(name, "alt"):
		want = 1
	}
	if err != nil || !last || n < 3 || signals != want {
		tr.t.Errorf("thread %q: %d frames, %d signal frames, start reached %v, error %v", name, n, signals, last, err)
	}
}
