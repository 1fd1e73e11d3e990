package inject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace"
)

// The test binary runs itself as a helper that applies or reverts and is killed on the way.
const helperEnv = "HOTPATCH_INJECT_HELPER" // "VERB PID POINT COUNT PATCHFILE..."

// helper is the main function of the helper: it kills itself the COUNTth time that it passes POINT. Before that
// it prints a line and waits for the end of its input.
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
			fmt.Println("there")
			io.Copy(io.Discard, os.Stdin)
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
		if f[0] == "replace" {
			opt.Acks = []string{"anew:calls"}
			_, err = Replace(context.Background(), pid, files, opt)
		} else {
			_, err = Apply(context.Background(), pid, files, opt)
		}
	}
	fmt.Fprintln(os.Stderr, "helper:", err)
	return 1
}

// killedAt runs the helper and makes sure that it was killed.
func killedAt(t *testing.T, verb string, pid int, point string, count int, files ...*patch.File) {
	t.Helper()
	end := heldAt(t, verb, pid, point, count, files...)
	end()
}

// heldAt runs the helper until it reaches a point, where it stays until end is called, which kills it.
func heldAt(t *testing.T, verb string, pid int, point string, count int, files ...*patch.File) (end func()) {
	t.Helper()
	args := []string{verb, strconv.Itoa(pid), point, strconv.Itoa(count)}
	for i, f := range files {
		name := fmt.Sprintf("%s/%d.patch", t.TempDir(), i)
		if err := os.WriteFile(name, f.Raw, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+strings.Join(args, " "))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("there\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		cmd.Wait()
		t.Fatalf("helper %v did not come to %s: %s", args, point, errs.String())
	}
	return func() {
		t.Helper()
		in.Close()
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
			t.Fatalf("helper %v was not killed at %s: %v\n%s", args, point, err, errs.String())
		}
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
		{"journal-mapped", 1, true},
		{"journal-half", 1, true},
		{"journal-written", 1, true},
		{"payload-mapped", 1, true},
		{"payload-mapped", 2, true},
		{"payload-written", 1, true},
		{"payload-written", 2, true},
		{"borrowed", 1, true},
		{"staged", 1, true},
		{"committing", 1, true},
		{"gate-written", 1, true},
		{"gate-written", 2, true},
		{"gated", 1, true},
		{"gated", 2, true},
		{"go", 1, true},
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
					if got, want := programOf(footprint(t, v.PID)), programOf(clean); got != want {
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

// TestKilledReverting kills a revert at every point, and then either finishes it or applies again.
func TestKilledReverting(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	old := build(t, "chain", 1)
	for _, c := range []struct {
		point string
		count int
	}{{"committing", 1}, {"gated", 1}, {"gated", 2}, {"go", 1}, {"written", 1}, {"written", 2}, {"written", 3}, {"marked", 1}} {
		for _, again := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s-%d-%v", c.point, c.count, again), func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, old)
				clean := footprint(t, v.PID)
				apply(t, v.PID, f)
				killedAt(t, "revert", v.PID, c.point, c.count)
				if again {
					apply(t, v.PID, f)
					ask(t, v, "go", "112 dos")
				} else if _, err := Revert(context.Background(), v.PID, "", quick); err != nil && !errors.Is(err, ErrNoPatch) {
					t.Fatal(err)
				} else {
					ask(t, v, "go", "10 two")
					if got, want := programOf(footprint(t, v.PID)), programOf(clean); got != want {
						t.Errorf("text after the revert:\n%s\nbefore:\n%s", got, want)
					}
				}
				if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
					t.Errorf("list afterwards: %+v, %v", s, err)
				}
				v.End()
			})
		}
	}
}

// TestKilledTogether kills a transaction of two patches that lead on from one another, between any two writes.
func TestKilledTogether(t *testing.T) {
	t.Parallel()
	files := []*patch.File{chainPatch(t, 1), chainPatch(t, 2)}
	for count := 1; count <= 4; count++ {
		for _, finish := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d-%v", count, finish), func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, build(t, "chain", 1))
				before := programOf(footprint(t, v.PID))
				r, err := Apply(context.Background(), v.PID, files, Options{DryRun: true})
				if err != nil || r.Writes < count {
					t.Fatalf("%d writes for %d kills: %v", r.Writes, count, err)
				}
				last := count == r.Writes
				killedAt(t, "apply", v.PID, "written", count, files...)
				if s, err := Inspect(v.PID, nil); err != nil || (len(s.Attention) == 0) != last {
					t.Errorf("list: %+v, %v", s, err)
				}
				switch {
				case finish:
					apply(t, v.PID, files...)
					ask(t, v, "go", "1212 dos")
				default:
					revert(t, v.PID, "")
					ask(t, v, "go", "10 two")
					if programOf(footprint(t, v.PID)) != before {
						t.Error("the text is not as it was")
					}
				}
				if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
					t.Errorf("list afterwards: %+v, %v", s, err)
				}
				v.End()
			})
		}
	}
}

// TestHalfDone refuses to work on a process that is half patched with another patch.
func TestHalfDone(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	killedAt(t, "apply", v.PID, "go", 1, chainPatch(t, 1)) // a constant is not renewed yet
	ask(t, v, "go", "112 two")
	_, err := Apply(context.Background(), v.PID, []*patch.File{chainPatch(t, 2)}, quick)
	if !errors.Is(err, ErrAttention) || !strings.Contains(err.Error(), chainPatch(t, 1).ID.Short()) {
		t.Errorf("apply of another patch: %v", err)
	}
	ask(t, v, "go", "112 two")
	if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) != 1 || inForce(s) != -1 {
		t.Errorf("list: %+v, %v", s, err)
	}
	v.End()
}

// TestUndone lets an apply fail at every point: the process is as it was.
func TestUndone(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	old := build(t, "chain", 1)
	wrong := errors.New("wrong")
	for _, c := range []struct {
		point string
		count int
	}{
		{"journal-mapped", 1}, {"journal-written", 1}, {"payload-mapped", 1}, {"payload-mapped", 2}, {"payload-mapped", 3},
		{"payload-written", 1}, {"payload-written", 3}, {"journal-half", 1}, {"borrowed", 1},
		{"payload-mapped", 4}, {"gate-written", 1}, {"gate-written", 2},
		{"staged", 1}, {"committing", 1}, {"gated", 1}, {"gated", 2}, {"go", 1}, {"written", 1}, {"written", 2}, {"written", 3}, {"marked", 1},
	} {
		t.Run(fmt.Sprintf("%s-%d", c.point, c.count), func(t *testing.T) {
			t.Parallel()
			v := victim.Start(t, old)
			before := footprint(t, v.PID)
			opt, n := quick, c.count
			opt.fault = func(point string) error {
				if point == c.point {
					if n--; n == 0 {
						return wrong
					}
				}
				return nil
			}
			if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt); !errors.Is(err, wrong) {
				t.Fatalf("apply: %v", err)
			}
			if after := footprint(t, v.PID); after != before {
				t.Errorf("the process has changed:\n%s\nbefore:\n%s", after, before)
			}
			ask(t, v, "go", "10 two")
			v.End()
		})
	}
}

// TestTwoAtOnce lets a second hotpatch meet one that is at work.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	v := victim.Start(t, build(t, "chain", 1))
	f := chainPatch(t, 1)
	end := heldAt(t, "apply", v.PID, "staged", 1, f)
	if _, err := Apply(context.Background(), v.PID, []*patch.File{f}, Options{}); !errors.Is(err, ptrace.ErrTraced) {
		t.Errorf("second apply: %v, want ErrTraced", err)
	}
	all, err := Patched(nil)
	if err != nil || !lists(all, v.PID) {
		t.Errorf("list of all processes does not have %d: %v", v.PID, err)
	}
	ask(t, v, "go", "10 two")
	waits := make(chan string, 1)
	opt := quick
	opt.Progress = func(s string) {
		if strings.Contains(s, "traced") {
			select {
			case waits <- s:
			default:
			}
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := Apply(context.Background(), v.PID, []*patch.File{f}, opt)
		done <- err
	}()
	<-waits
	end()
	if err := <-done; err != nil {
		t.Errorf("apply that waits for the first: %v", err)
	}
	ask(t, v, "go", "112 dos")
	v.End()
}

// TestNeverMapped leaves a journal whose payload was never mapped: list says so, and the next command clears it.
func TestNeverMapped(t *testing.T) {
	t.Parallel()
	files := []*patch.File{chainPatch(t, 1), chainPatch(t, 2)}
	for _, point := range []string{"journal-mapped", "journal-written", "payload-mapped"} {
		for _, again := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s-%v", point, again), func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, build(t, "chain", 1))
				before := footprint(t, v.PID)
				opt := quick
				opt.fault = func(p string) error {
					if p == point {
						return errKilled
					}
					return nil
				}
				if _, err := Apply(context.Background(), v.PID, files, opt); !errors.Is(err, errKilled) {
					t.Fatalf("apply: %v", err)
				}
				s, err := Inspect(v.PID, nil)
				if err != nil || len(s.Attention) == 0 || len(s.Patches) != 0 {
					t.Errorf("list: %+v, %v", s, err)
				}
				if again {
					apply(t, v.PID, files...)
					ask(t, v, "go", "1212 dos")
				} else {
					revert(t, v.PID, "")
					ask(t, v, "go", "10 two")
					if after := footprint(t, v.PID); programOf(after) != programOf(before) || strings.Contains(after, journalPath) {
						t.Errorf("the process is not as it was:\n%s\nbefore:\n%s", after, before)
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
