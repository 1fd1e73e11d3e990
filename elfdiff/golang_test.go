package elfdiff_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/elfdiff"
)

// A Go program is refused as a whole: its runtime must know every frame.
func TestGoProgramRefused(t *testing.T) {
	dir := t.TempDir()
	var built [2]string
	for i, body := range []string{`println("one")`, `println("two")`} {
		src := filepath.Join(dir, "main.go")
		if err := os.WriteFile(src, []byte("package main\n\nfunc main() { "+body+" }\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		built[i] = filepath.Join(dir, body[9:12])
		cmd := exec.Command("go", "build", "-buildmode=pie", "-o", built[i], src)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	r, err := elfdiff.Diff(load(t, built[0]), load(t, built[1]), elfdiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Changes {
		if c.What == "file" && strings.Contains(c.Why, "Go runtime") {
			return
		}
	}
	t.Errorf("not refused: patch %v, %d refused", r.Patch != nil, r.Refused)
}
