package victim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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

// Build is [Target.Build] for this machine.
func Build(t testing.TB, cc string, sources []string, flags ...string) string {
	t.Helper()
	return Native(t).Build(t, cc, sources, flags...)
}

// Build compiles and links sources (paths below testdata/) with cc and the flags (those that only x86-64 has stand for the target's own), and
// returns the program's path. Results are cached by content in the user's cache directory.
// A missing compiler fails the test.
func (g Target) Build(t testing.TB, cc string, sources []string, flags ...string) string {
	t.Helper()
	root := Root(t)
	flags = g.Spell(flags)
	key := []string{fmt.Sprintf("%q", sources)}
	var args []string
	// Sources come before the flags, so that -l options find what they are for.
	for _, s := range sources {
		p := filepath.Join(root, "testdata", s)
		key = append(key, Contents(t, p))
		args = append(args, p)
	}
	base := strings.TrimSuffix(filepath.Base(sources[0]), filepath.Ext(sources[0]))
	dir := g.Cached(t, cc, append(key, flags...), func(dir string) []string {
		return append(append([]string{"-o", filepath.Join(dir, base)}, args...), flags...)
	})
	return filepath.Join(dir, base)
}

// Contents returns what a source file and the headers beside it hold: what its compilation depends on, the system aside.
func Contents(t testing.TB, source string) string {
	t.Helper()
	var all strings.Builder
	headers, err := filepath.Glob(filepath.Join(filepath.Dir(source), "*.h*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]string{source}, headers...) {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %d\n%s", filepath.Base(p), len(b), b)
	}
	return all.String()
}

// Cached is [Target.Cached] for this machine.
func Cached(t testing.TB, cc string, key []string, arguments func(dir string) []string) string {
	t.Helper()
	return Native(t).Cached(t, cc, key, arguments)
}

// Cached returns a directory with what one run of a compiler makes, from the user's cache directory if it was made before by the same
// version of the compiler with the same key. The arguments are made for the directory that the compiler is to write to and is
// started in; it gets another name when it is complete.
func (g Target) Cached(t testing.TB, cc string, key []string, arguments func(dir string) []string) string {
	t.Helper()
	version, err := g.Command(cc, "--version").Output()
	if err != nil {
		t.Fatalf("compiler %s for %s: %v (scripts/setup installs what the tests need)", cc, g, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "hotpatch-test")
	tool := g.Tool(cc)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%q", strings.Join(tool, " "), version, key))
	dir := filepath.Join(cache, hex.EncodeToString(sum[:])[:24])
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	// Tests that run at once may make the same: each in a directory of its own, of which the first one stays.
	work, err := os.MkdirTemp(cache, "build")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		t.Fatal(err)
	}
	Run(t, work, tool[0], append(tool[1:], arguments(work)...)...)
	if err := os.Rename(work, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Run runs a compiler or the like in a directory; a failure fails the test.
func Run(t testing.TB, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, msg)
	}
}
