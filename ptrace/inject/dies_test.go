package inject

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
)

// TestTargetDies kills the process at every point of an apply and of a revert. It is noticed, it is not said to need
// attention, and nothing holds the dead: the process can be reaped at once.
func TestTargetDies(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	for _, c := range []struct {
		point  string
		revert bool
	}{
		{point: "journal-mapped"}, {point: "journal-half"}, {point: "journal-written"}, {point: "payload-mapped"},
		{point: "payload-written"}, {point: "borrowed"}, {point: "staged"}, {point: "committing"}, {point: "written"}, {point: "marked"},
		{point: "staged", revert: true}, {point: "committing", revert: true}, {point: "written", revert: true}, {point: "marked", revert: true},
	} {
		t.Run(fmt.Sprintf("%s-%v", c.point, c.revert), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(build(t, "chain", 1))
			v := victim.StartCmd(t, cmd)
			v.Ask("park 3")
			if c.revert {
				apply(t, v.PID, f)
			}
			opt := quick
			opt.fault = func(point string) error {
				if point == c.point {
					return syscall.Kill(v.PID, syscall.SIGKILL)
				}
				return nil
			}
			var err error
			if c.revert {
				_, err = Revert(context.Background(), v.PID, "", opt)
			} else {
				_, err = Apply(context.Background(), v.PID, []*patch.File{f}, opt)
			}
			if err != nil && (!errors.Is(err, ptrace.ErrExited) && !errors.Is(err, ptrace.ErrGone) || errors.Is(err, ErrAttention)) {
				t.Errorf("error: %v", err)
			}
			if err == nil && c.point != "marked" && c.point != "written" {
				t.Error("the death was not noticed")
			}
		})
	}
}
