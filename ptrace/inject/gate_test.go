package inject

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
)

// gatesPatch is the patch from version v of gates.c to the next.
func gatesPatch(t testing.TB, v int, flags ...string) *patch.File {
	t.Helper()
	return builds.Patch(t, build(t, "gates", v, flags...), build(t, "gates", v+1, flags...))
}

// gatesVictim starts version 1 of gates.c and brings it to version v.
func gatesVictim(t *testing.T, v int, flags ...string) *victim.Victim {
	t.Helper()
	p := victim.Start(t, build(t, "gates", 1, flags...))
	for n := 1; n < v; n++ {
		apply(t, p.PID, gatesPatch(t, n, flags...))
	}
	return p
}

// versions is what gates.c answers when all of its functions are of version v.
func versions(v int) string { return strings.Repeat(strconv.Itoa(v), 9) }

// commitPoints returns the fault points that the commit of a transaction passes, in their order.
func commitPoints(t *testing.T, do func(Options) error) []string {
	t.Helper()
	var points []string
	opt := quick
	opt.fault = func(point string) error {
		switch point {
		case pointBegun, pointCopied, pointGated, pointGo, pointText, pointEnded:
			points = append(points, point)
		}
		return nil
	}
	if err := do(opt); err != nil {
		t.Fatal(err)
	}
	return points
}

// dieAt makes the transaction end at the nth point of its commit, from 0, as if hotpatch had died.
func dieAt(n int) Options {
	opt := quick
	opt.fault = func(point string) error {
		switch point {
		case pointBegun, pointCopied, pointGated, pointGo, pointText, pointEnded:
			if n--; n < 0 {
				return errKilled
			}
		}
		return nil
	}
	return opt
}

// gatedMove is a transaction that brings gates.c from one version to another.
type gatedMove struct {
	name     string
	from, to int
	do       func(pid int, opt Options) error
}

func gatedMoves(t *testing.T, flags ...string) []gatedMove {
	files := []*patch.File{gatesPatch(t, 1, flags...), gatesPatch(t, 2, flags...)}
	whole := builds.Patch(t, build(t, "gates", 1, flags...), build(t, "gates", 3, flags...))
	applies := func(files ...*patch.File) func(int, Options) error {
		return func(pid int, opt Options) error {
			_, err := Apply(context.Background(), pid, files, opt)
			return err
		}
	}
	reverts := func(pid int, opt Options) error {
		_, err := Revert(context.Background(), pid, "", opt)
		return err
	}
	return []gatedMove{
		{"apply", 1, 2, applies(files[0])},
		{"apply onto another", 2, 3, applies(files[1])},
		{"apply two", 1, 3, applies(files...)},
		{"revert", 2, 1, reverts},
		{"revert to another", 3, 2, reverts},
		{"replace", 2, 3, func(pid int, opt Options) error {
			_, err := Replace(context.Background(), pid, []*patch.File{whole}, opt)
			return err
		}},
	}
}

// TestDeathInTheCommit ends transactions at every point of their commit. The process runs all of the old version or all of the
// new one, and says so; the next command finds it so, and leaves nothing behind.
func TestDeathInTheCommit(t *testing.T) {
	t.Parallel()
	for k, flag := range []string{"-fcf-protection=none", "-fcf-protection=branch"} {
		for i, m := range gatedMoves(t, flag) {
			if k == 1 && i%3 != 0 { // behind landing pads, one apply and one revert
				continue
			}
			v := gatesVictim(t, m.from, flag)
			points := commitPoints(t, func(opt Options) error { return m.do(v.PID, opt) })
			if !slices.Contains(points, pointGo) || strings.Count(strings.Join(points, " "), pointGated) < 7 {
				t.Fatalf("%s: points %v", m.name, points)
			}
			for n, point := range points {
				new := slices.Contains(points[:n+1], pointGo)
				t.Run(fmt.Sprintf("%s/%s-%d-%s%s", m.name, flag, n, point, map[bool]string{true: "-new"}[new]), func(t *testing.T) {
					t.Parallel()
					m.die(t, n, new, flag)
				})
			}
		}
	}
}

// die ends the transaction at the nth point and looks at what is left.
func (m gatedMove) die(t *testing.T, n int, new bool, flag string) {
	v := gatesVictim(t, m.from, flag)
	clean := textOf(footprint(t, v.PID))
	if err := m.do(v.PID, dieAt(n)); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	runs := m.from
	if new {
		runs = m.to
	}
	ask(t, v, "go", versions(runs))
	s, err := Inspect(v.PID, nil)
	patches := runs - 1
	if m.name == "replace" {
		patches = 1
	}
	if err != nil || inForce(s) != patches {
		t.Fatalf("version %d runs; list: %+v, %v", runs, s, err)
	}
	if n%2 == 0 || m.name == "replace" { // again, until it is done
		if err := m.do(v.PID, quick); err != nil && !errors.Is(err, ErrNoPatch) {
			t.Fatal(err)
		}
		ask(t, v, "go", versions(m.to))
	} else {
		apply(t, v.PID, gatesPatch(t, 1, flag), gatesPatch(t, 2, flag))
		ask(t, v, "go", versions(3))
		for runs := 3; runs > m.from; runs-- {
			revert(t, v.PID, gatesPatch(t, runs-1, flag).ID.Short())
		}
		if m.from != 3 {
			ask(t, v, "go", versions(m.from))
		}
		if got := textOf(footprint(t, v.PID)); m.from == 1 && got != clean {
			t.Errorf("text afterwards:\n%s\nbefore:\n%s", got, clean)
		}
	}
	if s, err = Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
		t.Errorf("list afterwards: %+v, %v", s, err)
	}
	v.End()
}

// inForce counts the patches in force; -1 if one is so in part.
func inForce(s *Status) int {
	n := 0
	for _, p := range s.Patches {
		switch p.State {
		case "applied":
			n++
		case "unfinished":
			return -1
		}
	}
	return n
}

// TestNotGated names what cannot be gated, and gates the rest all the same.
func TestNotGated(t *testing.T) {
	t.Parallel()
	f := gatesPatch(t, 1, "-DFIXED")
	v := gatesVictim(t, 1, "-DFIXED")
	r, err := Apply(context.Background(), v.PID, []*patch.File{f}, Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	why := map[string]string{"loops": "branch leads back", "calls": "a call"}
	if runtime.GOARCH == "arm64" {
		delete(why, "calls") // saves its return address first
	}
	if r.Atomic || len(r.NotAtomic) != len(why) {
		t.Errorf("atomic %v: %+v", r.Atomic, r.NotAtomic)
	}
	for _, n := range r.NotAtomic {
		if why[n.Name] == "" || !strings.Contains(n.Why, why[n.Name]) {
			t.Errorf("not atomic: %+v", n)
		}
	}
	apply := func(opt Options) error {
		_, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
		return err
	}
	points := commitPoints(t, apply)
	v.End()
	for n, point := range points {
		t.Run(fmt.Sprintf("%d-%s", n, point), func(t *testing.T) {
			t.Parallel()
			v := gatesVictim(t, 1, "-DFIXED")
			if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, dieAt(n)); !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			digits, rest, _ := strings.Cut(v.Ask("go"), " ")
			if digits != versions(1) && digits != versions(2) {
				t.Errorf("versions %s %s", digits, rest)
			}
			s, err := Inspect(v.PID, nil)
			if half := rest[0] != digits[0] || rest[1] != digits[1]; err != nil || half != (inForce(s) < 0) || half && len(s.Attention) == 0 {
				t.Errorf("versions %s %s; list: %+v, %v", digits, rest, s, err)
			}
			if n%2 == 0 {
				if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, quick); err != nil {
					t.Fatal(err)
				}
				ask(t, v, "go", versions(2)+" 22")
			} else {
				revert(t, v.PID, "")
				ask(t, v, "go", versions(1)+" 11")
			}
			v.End()
		})
	}
}

// TestForkInTheMiddle forks when a hotpatch has died in a commit: parent and child are settled each for itself.
func TestForkInTheMiddle(t *testing.T) {
	t.Parallel()
	f := gatesPatch(t, 1)
	for _, c := range []struct {
		point string
		runs  int
	}{{pointGated, 1}, {pointGo, 2}} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			v := gatesVictim(t, 1)
			killedAt(t, "apply", v.PID, c.point, 1, f)
			child, err := strconv.Atoi(v.Ask("fork"))
			if err != nil {
				t.Fatal(err)
			}
			ask(t, v, "go", versions(c.runs))
			ask(t, v, "parent", "parent "+versions(c.runs))
			for _, pid := range []int{v.PID, child} {
				s, err := Inspect(pid, nil)
				if err != nil || len(s.Attention) != 1 || inForce(s) != c.runs-1 {
					t.Errorf("list of %d: %+v, %v", pid, s, err)
				}
			}
			if c.runs == 1 { // the child is brought to the new version, its parent stays
				apply(t, child, f)
			} else {
				revert(t, child, "")
			}
			ask(t, v, "go", versions(3-c.runs))
			ask(t, v, "parent", "parent "+versions(c.runs))
			if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) != 1 || inForce(s) != c.runs-1 {
				t.Errorf("list of the parent: %+v, %v", s, err)
			}
			r := apply(t, v.PID, f)
			if want := map[int]string{1: "applied", 2: "finished"}[c.runs]; r.Patches[0].Result != want {
				t.Errorf("the parent's patch is %s, want %s", r.Patches[0].Result, want)
			}
			ask(t, v, "parent", "parent "+versions(2))
			ask(t, v, "go", versions(3-c.runs))
			v.End()
		})
	}
}

// interruptIn steps a thread until it is about to execute one of the gates of the pending transaction, where it gets SIGUSR1.
func interruptIn(t *testing.T, pid, tid int) {
	t.Helper()
	p, err := ptrace.Open(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	snap, err := takeSnapshot(p)
	if err != nil || snap.pending == nil {
		t.Fatalf("pending %v, %v", snap.pending, err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(tid); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	for range 1_000_000 {
		if _, err := unix.Wait4(tid, &status, unix.WALL, nil); err != nil || !status.Stopped() {
			t.Fatalf("thread %d: status %#x, %v", tid, status, err)
		}
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(tid, &regs); err != nil {
			t.Fatal(err)
		}
		for _, w := range snap.pending.j.Record.Intent.Writes {
			if pc := arch.Addr(regs.PC()); pc > w.Code.Addr && pc < w.Code.end() {
				if _, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(tid), 0, uintptr(unix.SIGUSR1), 0, 0); e != 0 {
					t.Fatal(e)
				}
				return
			}
		}
		if err := unix.PtraceSingleStep(tid); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("thread %d comes to no gate", tid)
}

// TestInGate has a thread interrupted within a gate, after hotpatch died: nothing is written over it while it is there.
func TestInGate(t *testing.T) {
	t.Parallel()
	f := gatesPatch(t, 1)
	v := gatesVictim(t, 1)
	tid, err := strconv.Atoi(v.Ask("spin"))
	if err != nil {
		t.Fatal(err)
	}
	opt := quick
	opt.fault = func(point string) error {
		if point == pointGo {
			return errKilled
		}
		return nil
	}
	if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	interruptIn(t, v.PID, tid)
	var busy *BusyError
	if _, err := Revert(context.Background(), v.PID, "", Options{}); !errors.As(err, &busy) || !strings.Contains(err.Error(), "the gate of ") {
		t.Errorf("revert while a thread is in a gate: %v", err)
	}
	opt = quick
	said := false
	opt.Progress = func(s string) {
		if strings.Contains(s, "the gate of ") && !said {
			said = true
			v.Send("release")
		}
	}
	if _, err := Revert(context.Background(), v.PID, "", opt); err != nil || !said {
		t.Errorf("revert that waits for it (%v): %v", said, err)
	}
	v.Expect("released")
	ask(t, v, "go", versions(1))
	v.End()
}

// TestRevertNeedsNothing reverts in processes that may not map memory, open files or make system calls for anybody any more.
func TestRevertNeedsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program  string
		patch    *patch.File
		commands []string
		question string
		answer   string // before and after
	}{
		{"chain", chainPatch(t, 1), []string{"nofd", "noas"}, "go", "10 two"},
		{"worlds", worldsPatch(t), []string{"seccomp kill"}, "1", "2"},
	} {
		t.Run(c.program, func(t *testing.T) {
			v := victim.Start(t, build(t, c.program, 1))
			apply(t, v.PID, c.patch)
			for _, command := range c.commands {
				ask(t, v, command, "ok")
			}
			if got := v.Ask(c.question); got == c.answer {
				t.Errorf("the patched program answers %q", got)
			}
			if r := revert(t, v.PID, ""); r.Staging != 0 {
				t.Errorf("a thread was borrowed for %v", r.Staging)
			}
			ask(t, v, c.question, c.answer)
			if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
				t.Errorf("list: %+v, %v", s, err)
			}
			v.End()
		})
	}
}

// TestDryRunInTheMiddle plans on what a process means that is not settled, and changes nothing.
func TestDryRunInTheMiddle(t *testing.T) {
	t.Parallel()
	files := []*patch.File{gatesPatch(t, 1), gatesPatch(t, 2)}
	dry := Options{DryRun: true}
	for _, c := range []struct {
		point    string
		applied  string // what an apply of both patches says of the first
		reverted string // what a revert says of it
	}{
		{pointGated, "applied", "undone"},
		{pointGo, "finished", "reverted"},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			v := gatesVictim(t, 1)
			killedAt(t, "apply", v.PID, c.point, 1, files[0])
			before := footprint(t, v.PID)
			r, err := Apply(context.Background(), v.PID, files, dry)
			if err != nil || len(r.Patches) != 2 || r.Patches[0].Result != c.applied || r.Patches[1].Result != "applied" || !r.Atomic {
				t.Errorf("apply: %+v, %v", r, err)
			}
			r, err = Revert(context.Background(), v.PID, "", dry)
			if err != nil || len(r.Patches) != 1 || r.Patches[0].Result != c.reverted {
				t.Errorf("revert: %+v, %v", r, err)
			}
			if footprint(t, v.PID) != before {
				t.Error("the process has changed")
			}
			v.End()
		})
	}
}

// TestRandomDeaths applies and reverts two patches at random, dying at random points, while threads call the functions all the time. The process
// runs one version at every moment, the one that the commits that were made lead to; what is mapped stays bounded.
func TestRandomDeaths(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewSource(20261121))
	files := []*patch.File{gatesPatch(t, 1), gatesPatch(t, 2)}
	v := gatesVictim(t, 1)
	for range 3 {
		v.Ask("spin")
	}
	runs, deaths, mapped := 1, 0, 0
	for step := range victim.Scale(60, 30) {
		to := runs + 1
		opt := dieAt(rnd.Intn(25))
		if step%10 == 9 {
			opt = quick
		}
		var err error
		if runs == 3 || runs == 2 && rnd.Intn(2) == 0 {
			to = runs - 1
			_, err = Revert(context.Background(), v.PID, files[to-1].ID.Short(), opt)
		} else {
			_, err = Apply(context.Background(), v.PID, files[runs-1:runs], opt)
		}
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("step %d: %v", step, err)
		}
		if err != nil {
			deaths++
		}
		switch got := v.Ask("go"); {
		case got == versions(to):
			runs = to
		case got != versions(runs) || err == nil:
			t.Fatalf("step %d, %d to %d, %v: the program answers %s", step, runs, to, err, got)
		}
		s, ierr := Inspect(v.PID, nil)
		if ierr != nil || inForce(s) != runs-1 || err == nil && len(s.Attention) > 0 {
			t.Fatalf("step %d: version %d runs; list: %+v, %v", step, runs, s, ierr)
		}
		if n := strings.Count(footprint(t, v.PID), "\n"); step == 19 {
			mapped = n
		} else if step > 19 && step%10 == 9 && n > mapped+2 { // a journal more or less for each patch, by how often it was applied again
			t.Errorf("step %d: %d mappings, %d before", step, n, mapped)
		}
	}
	if deaths < 20 {
		t.Errorf("only %d deaths", deaths)
	}
	v.End()
}
