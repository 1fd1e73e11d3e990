package ptrace

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// TestTracerKilled kills a tracer that makes stop after stop, and shows that the target goes on and loses no
// signal: a stop for a signal is only looked at, so the kernel still has the signal when it lets go. (A call
// that the tracer had no time to repair may return EINTR; borrowing is not done here.)
func TestTracerKilled(t *testing.T) {
	const env = "HOTPATCH_TEST_STOP"
	if pid, err := strconv.Atoi(os.Getenv(env)); err == nil {
		stopForEver(t, pid)
	}
	v := victim.Start(t, build(t, "signals.c"))
	total := 0
	for i := range 15 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestTracerKilled$")
		cmd.Env = append(os.Environ(), env+"="+strconv.Itoa(v.PID))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "stopping\n" {
			t.Errorf("tracer said %q, %v", line, err)
		}
		nap(int64(i) * 700_000)
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() // killed, so an error
		if n := tracerOf(t, v.PID); n != 0 {
			t.Errorf("traced by %d after its tracer's death", n)
		}
		n := countSignals(t, v)
		if n <= total {
			t.Errorf("%d signals, %d before: it does not go on", n, total)
		}
		total = n
	}
}

// stopForEver is the tracer.
func stopForEver(t *testing.T, pid int) {
	p, err := Open(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if _, err := p.Stop(StopOptions{}, noop); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			fmt.Println("stopping")
		}
	}
}

// countSignals asks how many signals came, and fails unless as many went and none was wrong.
func countSignals(t *testing.T, v *victim.Victim) int {
	t.Helper()
	line := v.Ask("sum")
	var s0, s1, g0, g1, wrong, eintr int
	if rest, ok := strings.CutPrefix(line, "ok "); ok {
		n, err := strconv.Atoi(rest)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	_, err := fmt.Sscanf(line, "FAIL sent %d %d got %d %d wrong %d eintr %d", &s0, &s1, &g0, &g1, &wrong, &eintr)
	if err != nil || s0 != g0 || s1 != g1 || wrong != 0 {
		t.Fatalf("victim answered %q", line)
	}
	return g0 + g1
}
