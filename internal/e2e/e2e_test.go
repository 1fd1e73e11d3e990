// Package e2e tests the hotpatch command on running programs, from two builds to a
// changed process and back.
package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// Exit codes of the command (DESIGN.md, section 5).
const (
	exitDone    = 0
	exitFailed  = 1
	exitRefused = 3
)

// tool is a built hotpatch command.
type tool struct {
	t    *testing.T
	path string
}

// buildTool builds the command of this tree. The go command's cache makes later calls cheap.
func buildTool(t *testing.T) *tool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hotpatch")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/hotpatch")
	cmd.Dir = victim.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return &tool{t: t, path: path}
}

// run runs a verb and returns what it printed on both outputs, and its exit code.
func (h *tool) run(args ...string) (string, int) {
	h.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(h.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// try runs a verb that is to succeed.
func (h *tool) try(args ...string) error {
	h.t.Helper()
	if out, code := h.run(args...); code != exitDone {
		return fmt.Errorf("hotpatch %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return nil
}

// must is try for callers without an error path.
func (h *tool) must(args ...string) string {
	h.t.Helper()
	out, code := h.run(args...)
	if code != exitDone {
		h.t.Fatalf("hotpatch %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// diff writes the patch between two builds and returns its path.
func (h *tool) diff(old, new string) string {
	h.t.Helper()
	out := filepath.Join(h.t.TempDir(), "fix.patch")
	h.must("diff", old, new, "-o", out)
	if _, err := os.Stat(out); err != nil {
		h.t.Fatal(err)
	}
	return out
}

// pid is a victim's process id as an argument.
func pid(v *victim.Victim) string { return fmt.Sprint(v.PID) }
