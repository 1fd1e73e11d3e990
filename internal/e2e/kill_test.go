package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotpatch/internal/kvload"
	"hotpatch/internal/victim"
)

// TestKilledAnywhere kills hotpatch after a random time, again and again, in the middle of an apply or a revert. The
// server goes on answering each time, and the same command brings it where it was to be brought. It is the kvd
// that makes epoll_wait again after EINTR (testdata/kvd/patient.c).
func TestKilledAnywhere(t *testing.T) {
	const (
		kills = 25
		seed  = 4
	)
	h := buildTool(t)
	patient := build{cc: "gcc", flags: ordinary.flags + " -Wl,--wrap=epoll_wait", extra: []string{"kvd/patient.c"}}
	patches := patient.patches(t, h)
	v, addr := patient.start(t)
	load, err := kvload.Start(addr, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, seed))
	killed := 0
	longest := 10 * time.Millisecond // before the kill: what a verb took that was not killed
	for i := range kills {
		to, args := 2, []string{"apply", "-p", pid(v), patches[1]}
		if i%2 == 1 {
			to, args = 1, []string{"revert", "-p", pid(v)}
		}
		delay := time.Duration(random.Int64N(int64(longest)))
		err := load.Switch(to, func() error {
			start := time.Now()
			died, err := h.killAndRecover(load, v, delay, args)
			if died {
				killed++
			} else {
				longest = time.Since(start)
			}
			return err
		})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		if err := load.Settle(20); err != nil {
			t.Fatalf("kill %d, at %v: %v", i, delay, err)
		}
	}
	if killed < kills/2 {
		t.Errorf("only %d of %d were killed before their end", killed, kills)
	}
	r, err := load.Stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d killed, %d replies, slowest %v", killed, kills, r.Replies, r.Slowest)
	v.End()
}

// killAndRecover kills a verb after a time, shows that the server goes on, and then lets the verb do its work. A
// revert that finds nothing to do has been finished by the one before.
func (h *tool) killAndRecover(load *kvload.Load, v *victim.Victim, delay time.Duration, args []string) (died bool, err error) {
	h.t.Helper()
	if died, err = h.kill(delay, args...); err != nil || !died {
		return died, err
	}
	if err := load.Settle(20); err != nil {
		return died, fmt.Errorf("after a death at %v: %w", delay, err)
	}
	if out, code := h.run("list", "-p", pid(v)); code != exitDone && code != exitAttention {
		return died, fmt.Errorf("list after a death at %v: exit code %d\n%s", delay, code, out)
	}
	out, code := h.run(args...)
	if code == exitDone || args[0] == "revert" && code == exitFailed && strings.Contains(out, "no such patch") {
		return died, nil
	}
	return died, fmt.Errorf("after a death at %v: hotpatch %v: exit code %d\n%s", delay, args, code, out)
}

// kill runs a verb and ends it with SIGKILL after a time. died is false if it ended before, which
// must have been well.
func (h *tool) kill(after time.Duration, args ...string) (died bool, err error) {
	h.t.Helper()
	cmd := exec.Command(h.path, args...)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	err = cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("hotpatch %v: %w", args, err)
	}
	return false, nil
}
