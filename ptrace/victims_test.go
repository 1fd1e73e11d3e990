package ptrace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// build compiles a program of testdata/ptrace.
func build(t testing.TB, name string, flags ...string) string {
	t.Helper()
	return victim.Build(t, "gcc", []string{"ptrace/" + name}, append([]string{"-O2", "-pthread", "-Wall"}, flags...)...)
}

// open opens a victim and closes it with the test, before the victim ends.
func open(t testing.TB, pid int) *Process {
	t.Helper()
	p, err := Open(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// noop is a stop that looks at nothing.
func noop(*Stopped) error { return nil }

// soon is by when threads have to stop: in two seconds, or more where they may wait long for an emulated processor.
func soon() time.Time { return time.Now().Add(time.Duration(victim.Scale(2, 30)) * time.Second) }

// stops makes n stops, every third of which detaches.
func stops(t testing.TB, p *Process, n int) {
	t.Helper()
	for i := range n {
		if _, err := p.Stop(StopOptions{Detach: i%3 == 2, Deadline: soon()}, noop); err != nil {
			t.Fatalf("stop %d: %v", i, err)
		}
	}
}

// borrowPage maps a page in the target and unmaps it.
func borrowPage(r *Remote) error {
	at, err := r.Mmap(0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, -1, 0)
	if err != nil {
		return err
	}
	return r.Munmap(at, 4096)
}

// askOK sends a line and returns what follows "ok" in the answer.
func askOK(t testing.TB, v *victim.Victim, line string) string {
	t.Helper()
	got := v.Ask(line)
	rest, ok := strings.CutPrefix(got, "ok")
	if !ok {
		t.Fatalf("victim answered %q", got)
	}
	return strings.TrimSpace(rest)
}

// askCount is askOK for a number.
func askCount(t testing.TB, v *victim.Victim, line string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(askOK(t, v, line) + " ")[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// state returns the state letter of every thread of a process.
func states(t testing.TB, pid int) string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range tasks {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		st, err := ParseStat(raw)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteByte(st.State)
	}
	return b.String()
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(victim.Patience); !ok(); nap(200_000) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// tracerOf returns TracerPid of every thread, 0 if none is traced.
func tracerOf(t testing.TB, pid int) int {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, f := range tasks {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if n := statusInt(raw, "TracerPid", 0); n != 0 {
			return n
		}
	}
	return 0
}

// wantKind fails unless err is an *Error of the kind whose text holds all of words.
func wantKind(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	var e *Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
