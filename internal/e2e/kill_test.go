package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"hotpatch/internal/kvload"
)

// TestKilledAnywhere kills hotpatch after a random time, again and again, in the middle of an apply or a revert. The
// server goes on answering each time, and the same command brings it where it was to be brought. It is the kvd
// that makes epoll_wait again after EINTR (testdata/kvd/patient.c).
func TestKilledAnywhere(t *testing.T) {
	const (
		kills   = 25
		seed    = 4
		longest = 10 * time.Millisecond // before the kill
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
	for i := range kills {
		to, args := 2, []string{"apply", "-p", pid(v), patches[1]}
		if i%2 == 1 {
			to, args = 1, []string{"revert", "-p", pid(v)}
		}
		delay := time.Duration(random.Int64N(int64(longest)))
		err := load.Switch(to, func() error {
			died, err := h.kill(delay, args...)
			if err != nil {
				return err
			}
			if died {
				killed++
			} else if i%2 == 1 {
				return nil // a second revert finds nothing
			}
			if err := load.Settle(20); err != nil {
				return fmt.Errorf("after a death at %v: %w", delay, err)
			}
			if out, code := h.run("list", "-p", pid(v)); code != exitDone && code != exitAttention {
				return fmt.Errorf("list after a death at %v: exit code %d\n%s", delay, code, out)
			}
			out, code := h.run(args...)
			if code == exitDone || i%2 == 1 && code == exitFailed { // the dead one had finished the revert
				return nil
			}
			return fmt.Errorf("after a death at %v: hotpatch %v: exit code %d\n%s", delay, args, code, out)
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
