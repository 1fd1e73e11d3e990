package elfdiff_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hotpatch/elfdiff/image"
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
