package cli

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cldExited is CLD_EXITED of sigaction(2).
const cldExited = 1

// defaulted gives the programs that the test starts the default action for a signal, whatever the
// test itself was started with: handlers are reset by execve(2), and an ignored signal stays ignored.
func defaulted(t *testing.T, sig os.Signal) {
	t.Helper()
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig)
	t.Cleanup(func() { signal.Stop(c) })
}

// Ctrl-Z, and a background job's use of the terminal, do not stop hotpatch while it holds a process.
func TestApplyNotStopped(t *testing.T) {
	good := fix(t, 1, 2)
	for _, sig := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU} {
		t.Run(sig.String(), func(t *testing.T) {
			defaulted(t, sig)
			v := held(t)
			p := begin(t, v, "--wait", "60s", good)
			if err := p.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if got := v.Ask("go on"); got != "left 1" {
				t.Errorf("the held call gave %q", got)
			}
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_PID, p.Process.Pid, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
				t.Fatal(err)
			}
			if info.Code != cldExited {
				t.Fatalf("it did not come to its end (si_code %d)", info.Code)
			}
			if r := p.wait(t); r.code != exitDone {
				t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
			}
			if got := v.Ask("call"); got != "greet 3" {
				t.Errorf("patched, it answered %q", got)
			}
		})
	}
}

// What the caller has set to be ignored, as nohup does, stays ignored.
func TestApplyNohup(t *testing.T) {
	signal.Ignore(syscall.SIGHUP) // inherited by the program
	defer signal.Reset(syscall.SIGHUP)
	v := held(t)
	p := begin(t, v, "--wait", "60s", fix(t, 1, 2))
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := v.Ask("go on"); got != "left 1" {
		t.Errorf("the held call gave %q", got)
	}
	if r := p.wait(t); r.code != exitDone {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
}
