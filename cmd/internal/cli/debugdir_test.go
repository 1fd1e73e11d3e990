package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a tool, which must succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// stripped makes a copy of a program without symbols, and puts its debug file where its build-id says below a directory.
func stripped(t *testing.T, program, debugDir string) string {
	t.Helper()
	dir := t.TempDir()
	out, debug := filepath.Join(dir, filepath.Base(program)), filepath.Join(dir, "debug")
	run(t, "objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", program, debug)
	run(t, "objcopy", "--strip-all", program, out)
	_, id, ok := strings.Cut(run(t, "readelf", "-n", program), "Build ID: ")
	if !ok {
		t.Fatalf("%s has no build-id", program)
	}
	id, _, _ = strings.Cut(id, "\n")
	at := filepath.Join(debugDir, ".build-id", id[:2], id[2:]+".debug")
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(debug, at); err != nil {
		t.Fatal(err)
	}
	return out
}

// Stripped programs with their debug files give the same patch as those that they were made from.
func TestDiffDebugDir(t *testing.T) {
	old, next, debugDir, dir := greet(t, 1), greet(t, 2), t.TempDir(), t.TempDir()
	full, apart := filepath.Join(dir, "full"), filepath.Join(dir, "apart")
	if r := hotpatch("diff", old, next, "-o", full); r.code != exitDone {
		t.Fatal(r.err)
	}
	a, b := stripped(t, old, debugDir), stripped(t, next, debugDir)
	hotpatch("diff", a, b, "-o", apart).wantError(t, exitFailed, "no separate debug file found; build-id ")
	if r := hotpatch("diff", a, b, "-o", apart, "--debug-dir", t.TempDir(), "--debug-dir", debugDir); r.code != exitDone {
		t.Fatal(r.err)
	}
	x, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(apart)
	if err != nil || !bytes.Equal(x, y) {
		t.Errorf("the patches differ: %v", err)
	}
}

// Programs whose only symbols are those of .gnu_debugdata are compared, but no patch is made: their variables have no names.
func TestDiffMiniDebug(t *testing.T) {
	withMini := func(program string) string {
		dir := t.TempDir()
		out, mini := filepath.Join(dir, filepath.Base(program)), filepath.Join(dir, "mini")
		run(t, "objcopy", "--only-keep-debug", "--strip-debug", program, mini)
		run(t, "xz", mini)
		run(t, "objcopy", "--strip-all", "--add-section", ".gnu_debugdata="+mini+".xz", program, out)
		return out
	}
	r := hotpatch("diff", withMini(greet(t, 1)), withMini(greet(t, 2)), "-o", filepath.Join(t.TempDir(), "fix.patch"))
	if r.code != exitRefused || !strings.Contains(r.out, "name no variables") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
}
