package cli

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"hotpatch/internal/victim"
)

// held starts greet and lets it stay within the function that is patched.
func held(t *testing.T) *victim.Victim {
	t.Helper()
	v := victim.Start(t, greet(t, 1))
	v.Send("hold")
	v.Expect("held")
	return v
}

// begin starts apply as a program and waits until it has the busy process in its hands.
func begin(t *testing.T, v *victim.Victim, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := prepare(self, append([]string{"apply", "-p", pidOf(v)}, args...)...)
	// In a process group of its own, with the test as a parent in another: an orphaned group is never stopped (POSIX 11.1.4).
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	until(t, "apply traces the process", func() bool { return procField(v.PID, "TracerPid") != "0" })
	return p
}

// A busy function: exit code 4, the thread and its stack named, nothing changed.
func TestApplyBusy(t *testing.T) {
	good := fix(t, 1, 2)
	for _, wait := range []string{"0", "200ms"} {
		t.Run("wait "+wait, func(t *testing.T) {
			v := held(t)
			untouched(t, v, func() {
				r := hotpatch("apply", "-p", pidOf(v), "--wait", wait, good)
				lines := strings.Split(r.err, "\n")
				if r.code != exitBusy || !strings.HasPrefix(lines[0], "hotpatch: apply: ") || !strings.Contains(lines[0], "greet") {
					t.Errorf("exit code %d\n%s", r.code, r.err)
				}
				if !strings.Contains(r.err, "thread "+pidOf(v)+" (greet)") || !strings.Contains(r.err, "    main (greet)\n") {
					t.Errorf("the thread and its stack are not shown:\n%s", r.err)
				}
			})
			if got := v.Ask("go on"); got != "left 1" {
				t.Errorf("the held call gave %q", got)
			}
			if got := v.Ask("call"); got != "greet 2" {
				t.Errorf("afterwards it answered %q", got)
			}
		})
	}
}

func TestApplyBusyJSON(t *testing.T) {
	v := held(t)
	r := hotpatch("apply", "-p", pidOf(v), "--wait", "0", "--json", fix(t, 1, 2))
	r.object(t)
	var out struct {
		Error struct {
			Code    int    `json:"code"`
			Kind    string `json:"kind"`
			Threads []struct {
				TID    int      `json:"tid"`
				Func   string   `json:"function"`
				Frames []string `json:"frames"`
			} `json:"threads"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatal(err)
	}
	e := out.Error
	if r.code != exitBusy || e.Code != exitBusy || e.Kind != "busy" || len(e.Threads) != 1 {
		t.Fatalf("exit code %d\n%s", r.code, r.out)
	}
	if th := e.Threads[0]; th.TID != v.PID || th.Func != "greet" || len(th.Frames) == 0 {
		t.Errorf("%+v", th)
	}
}

// The function returns while apply waits: it is patched then.
func TestApplyWaits(t *testing.T) {
	v := held(t)
	p := begin(t, v, "--wait", "60s", fix(t, 1, 2))
	if got := v.Ask("go on"); got != "left 1" {
		t.Errorf("the held call gave %q", got)
	}
	if r := p.wait(t); r.code != exitDone {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if got := v.Ask("call"); got != "greet 3" {
		t.Errorf("patched, it answered %q", got)
	}
}

// Interrupted before the commit, apply leaves the process as it was.
func TestApplyInterrupted(t *testing.T) {
	good := fix(t, 1, 2)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			defaulted(t, sig)
			v := held(t)
			untouched(t, v, func() {
				p := begin(t, v, "--wait", "60s", good)
				if err := p.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				p.wait(t).wantError(t, exitFailed, "interrupted", "nothing was changed")
			})
			if got := v.Ask("go on"); got != "left 1" {
				t.Errorf("the held call gave %q", got)
			}
			if got := v.Ask("call"); got != "greet 2" {
				t.Errorf("afterwards it answered %q", got)
			}
		})
	}
}

// The process dies while apply waits: noticed at once, and its parent can reap it.
func TestApplyExiting(t *testing.T) {
	v := held(t)
	p := begin(t, v, "--wait", "60s", fix(t, 1, 2))
	if err := syscall.Kill(v.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.wait(t).wantError(t, exitFailed, "process "+pidOf(v)+" (greet) ended before the apply was done")
	until(t, "the process is a zombie without a tracer", func() bool {
		return strings.HasPrefix(procField(v.PID, "State"), "Z") && procField(v.PID, "TracerPid") == "0"
	})
}

// A function that is not changed counts as one that is, if the user says so; main waits for input in next.
func TestApplyWhenIdle(t *testing.T) {
	v := victim.Start(t, greet(t, 1))
	good := fix(t, 1, 2)
	untouched(t, v, func() {
		r := hotpatch("apply", "-p", pidOf(v), "--wait", "0", "--when-idle", "main", good)
		if r.code != exitBusy || !strings.Contains(r.err, "leave out --when-idle main") || !strings.Contains(r.err, "the thread began with it") {
			t.Errorf("exit code %d\n%s", r.code, r.err)
		}
		hotpatch("apply", "-p", pidOf(v), "--wait", "0", "--when-idle", "nosuch", good).wantError(t, exitRefused, "nosuch", "no function of this name")
	})
	if r := hotpatch("apply", "-p", pidOf(v), "--when-idle", "greet", good); r.code != exitDone || !strings.Contains(r.out, "not being executed then: greet:greet (greet, 0x") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
}

// A call that may go on in the old version: what it calls changes, and the reply says what goes on.
func TestApplyAllowActive(t *testing.T) {
	v := held(t)
	good := fix(t, 1, 2)
	untouched(t, v, func() {
		hotpatch("apply", "-p", pidOf(v), "--wait", "0", "--allow-active", "main", good).wantError(t, exitRefused, "main", "not replaced")
	})
	r := hotpatch("apply", "-p", pidOf(v), "--wait", "0", "--allow-active", "greet", good)
	if r.code != exitDone || !strings.Contains(r.out, "thread "+pidOf(v)+" (greet) stays in greet: that call goes on in the version that it began in") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if got := v.Ask("go on"); got != "left 1" {
		t.Errorf("the held call gave %q", got)
	}
	if got := v.Ask("call"); got != "greet 3" {
		t.Errorf("patched, it answered %q", got)
	}
}
