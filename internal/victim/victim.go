// Package victim builds and runs the small programs that tests work on.
//
// A victim prints "ready" on a line of its own when it can be worked on. It is
// driven by lines on its standard input and answers on its standard output, so
// that no test sleeps. Every victim is ended with its test, by its process id.
package victim

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Victim is a running program.
type Victim struct {
	PID   int
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// Patience is how long a victim may take for one answer before the test fails. It
// is generous, for emulated machines; no test measures it.
const Patience = 60 * time.Second

// Start runs the program and waits until it prints "ready".
func Start(t testing.TB, path string, args ...string) *Victim {
	t.Helper()
	return StartCmd(t, exec.Command(path, args...))
}

// StartCmd is Start for a prepared command (environment, credentials, namespaces).
func StartCmd(t testing.TB, cmd *exec.Cmd) *Victim {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	v := &Victim{PID: cmd.Process.Pid, t: t, cmd: cmd, in: in, lines: make(chan string, 1024)}
	go func() {
		s := bufio.NewScanner(r)
		for s.Scan() {
			v.lines <- s.Text()
		}
		close(v.lines)
		r.Close()
	}()
	t.Cleanup(v.Kill)
	v.Expect("ready")
	return v
}

// Line returns the next line that the victim prints.
func (v *Victim) Line() string {
	v.t.Helper()
	select {
	case l, ok := <-v.lines:
		if !ok {
			v.t.Fatalf("victim %d ended its output", v.PID)
		}
		return l
	case <-time.After(Patience):
		v.t.Fatalf("victim %d printed nothing for %v", v.PID, Patience)
	}
	return ""
}

// Expect fails the test unless the next line is want.
func (v *Victim) Expect(want string) {
	v.t.Helper()
	if got := v.Line(); got != want {
		v.t.Fatalf("victim %d printed %q, want %q", v.PID, got, want)
	}
}

// Send writes a line to the victim.
func (v *Victim) Send(line string) {
	v.t.Helper()
	if _, err := io.WriteString(v.in, line+"\n"); err != nil {
		v.t.Fatalf("victim %d: %v", v.PID, err)
	}
}

// Ask sends a line and returns the answer.
func (v *Victim) Ask(line string) string {
	v.t.Helper()
	v.Send(line)
	return v.Line()
}

// Alive reports whether the victim still runs.
func (v *Victim) Alive() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.PID))
	if err != nil {
		return false
	}
	i := strings.LastIndexByte(string(b), ')')
	return i > 0 && len(b) > i+2 && b[i+2] != 'Z' && b[i+2] != 'X'
}

// Kill ends the victim with SIGKILL and collects it.
func (v *Victim) Kill() {
	v.cmd.Process.Kill() // the error is that it has ended
	v.cmd.Wait()         // killed, so an error
}

// End closes the victim's input and waits for it to exit; a failure fails the test.
func (v *Victim) End() {
	v.t.Helper()
	v.in.Close()
	for range v.lines {
	}
	if err := v.cmd.Wait(); err != nil {
		v.t.Errorf("victim %d: %v", v.PID, err)
	}
}
