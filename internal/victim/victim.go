// Package victim builds and runs the small programs that tests work on.
//
// A victim prints "ready" on a line of its own when it can be worked on. It is
// driven by lines on its standard input and answers on its standard output, so
// that no test sleeps. Every victim is ended with its test, by its process id.
package victim

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Root returns the top directory of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}

// Build compiles and links sources (paths below testdata/) with cc and the flags, and
// returns the program's path. Results are cached by content in the user's cache directory.
// A missing compiler fails the test.
func Build(t testing.TB, cc string, sources []string, flags ...string) string {
	t.Helper()
	root := Root(t)
	h := sha256.New()
	ver, err := exec.Command(cc, "--version").Output()
	if err != nil {
		t.Fatalf("compiler %s: %v (scripts/test installs what the tests need)", cc, err)
	}
	fmt.Fprintf(h, "%s\x00%s\x00%q\x00%q\x00", cc, ver, sources, flags)
	args := append([]string{}, flags...)
	var srcs []string
	for _, s := range sources {
		p := filepath.Join(root, "testdata", s)
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
		// Headers beside the source are part of the content as well.
		hdrs, _ := filepath.Glob(filepath.Join(filepath.Dir(p), "*.h"))
		for _, hd := range hdrs {
			b, _ := os.ReadFile(hd)
			h.Write(b)
		}
		srcs = append(srcs, p)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "hotpatch-test", hex.EncodeToString(h.Sum(nil))[:24])
	base := strings.TrimSuffix(filepath.Base(sources[0]), filepath.Ext(sources[0]))
	out := filepath.Join(dir, base)
	if _, err := os.Stat(out); err == nil {
		return out
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Tests that run at once may build the same program: each in a directory of its own, and the last one stays.
	work, err := os.MkdirTemp(dir, "build")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	tmp := filepath.Join(work, base)
	// Sources come before the flags, so that -l options find what they are for.
	cmd := exec.Command(cc, append(append([]string{"-o", tmp}, srcs...), args...)...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, msg)
	}
	if err := os.Rename(tmp, out); err != nil {
		t.Fatal(err)
	}
	return out
}

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
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
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
