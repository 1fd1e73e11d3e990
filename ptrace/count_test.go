package ptrace

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// envCounted names the process that [TestCountedStop] stops and borrows from.
const envCounted = "HOTPATCH_TEST_COUNTED"

// TestCountedStop is the process whose requests are counted: one stop of all threads, and one borrowing of the main thread that makes two calls. By
// itself it does so with a victim of its own.
func TestCountedStop(t *testing.T) {
	var pid int
	if _, err := fmt.Sscan(os.Getenv(envCounted), &pid); err != nil {
		pid = victim.Start(t, build(t, "threads.c"), "3", "0").PID
	}
	p := open(t, pid)
	if _, err := p.Stop(StopOptions{}, noop); err != nil {
		t.Fatal(err)
	}
	if err := p.BorrowWith(BorrowOptions{TID: pid}, borrowPage); err != nil {
		t.Fatal(err)
	}
}

// TestRequestCounts: a stop, a borrowing and the resuming of threads that are blocked cost as many ptrace requests, and as many writes to the
// target's memory, on every architecture; but for what an architecture has to ask in addition (requestsMore).
func TestRequestCounts(t *testing.T) {
	const blocked = 5
	s := newSweeper(t)
	v := victim.Start(t, build(t, "threads.c"), fmt.Sprint(blocked), "0")
	eventually(t, "all are blocked", func() bool {
		n := 0
		for _, th := range threadsOf(t, v.PID) {
			if th.Syscall.In {
				n++
			}
		}
		return n == blocked+1
	})
	trace := filepath.Join(t.TempDir(), "probes")
	cmd := exec.Command(s.path, "-test.run", "^TestCountedStop$")
	cmd.Env = append(os.Environ(), envCounted+"="+fmt.Sprint(v.PID), envProbes+"="+trace)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); f[0] == "before" {
			got[f[1]]++
		}
	}
	const n = blocked + 1 // threads
	// The calls of the borrowing are mmap and munmap: registers set, on to the entry, on to the exit. Their registers are read at each stop, and
	// once more where the thread is parked, before and after. The stub is written and taken away.
	want := map[string]int{
		"SEIZE": n, "INTERRUPT": n + 2, "GETREGSET": n + 2 + 4, "CONT": n + 2, "SETREGSET": 3, "SYSCALL": 4, "RSEQ": 1, "write": 2,
	}
	for name, more := range requestsMore(n) {
		want[name] += more
	}
	if !maps.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
	askOK(t, v, "sum")
}
