package inject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// The test binary runs itself as a helper that applies or reverts and is killed on the way.
const helperEnv = "HOTPATCH_INJECT_HELPER" // "VERB PID POINT COUNT PATCHFILE..."

// helper is the main function of the helper: it kills itself the COUNTth time that it passes POINT.
func helper() int {
	f := strings.Fields(os.Getenv(helperEnv))
	pid, _ := strconv.Atoi(f[1])
	count, _ := strconv.Atoi(f[3])
	opt := quick
	opt.fault = func(point string) error {
		if point != f[2] {
			return nil
		}
		if count--; count == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	var err error
	if f[0] == "revert" {
		_, err = Revert(context.Background(), pid, "", opt)
	} else {
		var files []*patch.File
		for _, name := range f[4:] {
			raw, rerr := os.ReadFile(name)
			if rerr != nil {
				return 3
			}
			file, derr := patch.Decode(raw)
			if derr != nil {
				return 4
			}
			files = append(files, file)
		}
		_, err = Apply(context.Background(), pid, files, opt)
	}
	fmt.Fprintln(os.Stderr, "helper:", err)
	return 1
}

// killedAt runs the helper and makes sure that it was killed.
func killedAt(t *testing.T, verb string, pid int, point string, count int, files ...*patch.File) {
	t.Helper()
	args := []string{verb, strconv.Itoa(pid), strings.ReplaceAll(point, " ", "_"), strconv.Itoa(count)}
	args[2] = point
	for i, f := range files {
		name := fmt.Sprintf("%s/%d.patch", t.TempDir(), i)
		if err := os.WriteFile(name, f.Raw, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+strings.Join(args, " "))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("helper %v was not killed at %s: %v\n%s", args, point, err, out)
	}
}

// TestKilledApplying kills an apply at every point, and then either finishes or undoes it. The process runs on in
// between and is fully old or fully new afterwards.
func TestKilledApplying(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	old := build(t, "chain", 1)
	for _, c := range []struct {
		point     string
		count     int
		attention bool
	}{
		{"staged", 1, true},
		{"committing", 1, true},
		{"written", 1, true},
		{"written", 2, true},
		{"written", 3, false}, // all writes are made: the patch is in, whatever the journal says
		{"marked", 1, false},
	} {
		for _, finish := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s-%d-%v", c.point, c.count, finish), func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, old)
				clean := footprint(t, v.PID)
				killedAt(t, "apply", v.PID, c.point, c.count, f)
				s, err := Inspect(v.PID, nil)
				if err != nil || (len(s.Attention) > 0) != c.attention {
					t.Fatalf("list: %+v, %v", s, err)
				}
				if finish {
					apply(t, v.PID, f)
					v.Send("go")
					v.Expect("112 dos")
				} else {
					revert(t, v.PID, "")
					v.Send("go")
					v.Expect("10 two")
					if got, want := textOf(footprint(t, v.PID)), textOf(clean); got != want {
						t.Errorf("text after the revert:\n%s\nbefore:\n%s", got, want)
					}
				}
				if s, err = Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
					t.Errorf("list afterwards: %+v, %v", s, err)
				}
				v.End()
			})
		}
	}
}
