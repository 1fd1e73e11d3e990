package elfdiff_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
)

// freestanding builds versions 1 and 2 (-DV) of a program without a library by a compiler command; flags come behind the source.
func freestanding(t *testing.T, source string, cc []string, flags ...string) (old, new *image.Image) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "v.c")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(version string) string {
		out := filepath.Join(dir, "v"+version)
		run(t, cc[0], slices.Concat(cc[1:], []string{"-g", "-DV=" + version, "-nostdlib", "-Wl,--build-id", "-o", out, src}, flags)...)
		return out
	}
	return load(t, build("1")), load(t, build("2"))
}

// wantVerdict compares two builds, in which a function has changed: it is to be refused for a reason that holds about, or, if that is "", to be replaced.
func wantVerdict(t *testing.T, old, new *image.Image, function, about string) {
	t.Helper()
	r, err := elfdiff.Diff(old, new, elfdiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Changes, func(c patch.Change) bool { return c.Name == function })
	if i < 0 {
		t.Fatalf("%s has not changed", function)
	}
	if c := &r.Changes[i]; (c.Verdict == patch.Refused) != (about != "") || !strings.Contains(c.Why, about) {
		t.Errorf("%s: %v %s; want %q", function, c.Verdict, c.Why, about)
	}
}
