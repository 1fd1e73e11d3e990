package image

import (
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// TestCrossing checks that a page is not taken for understood that a function hands to another one outside of the ABI.
func TestCrossing(t *testing.T) {
	im := mustLoad(t, victim.Build(t, arm64GCC, []string{"image/crossing.s"}, "-shared", "-nostdlib"), Options{})
	for _, c := range []struct {
		function string
		unknown  int // pages
		known    int
	}{
		{function: "jumps", unknown: 1},
		{function: "branches", unknown: 1},
		{function: "calls", unknown: 1},
		{function: "saves", unknown: 1},
		{function: "leaves", unknown: 1},
		{function: "sets", unknown: 1},
		{function: "loses", unknown: 1},
		{function: "own", known: 2},
		{function: "writer", known: 1},
	} {
		t.Run(c.function, func(t *testing.T) {
			unknown, known := countPages(im.mustBody(t, c.function))
			if unknown != c.unknown || known != c.known {
				t.Errorf("%d pages of unknown use and %d of known, want %d and %d", unknown, known, c.unknown, c.known)
			}
		})
	}
}

// countPages counts the references of a body to pages.
func countPages(b *Body) (unknown, known int) {
	for i := range b.Refs {
		switch r := &b.Refs[i]; {
		case r.Kind != RefPage:
		case r.Place.Kind == PlaceUnknown:
			unknown++
		default:
			known++
		}
	}
	return unknown, known
}

// TestOutlined is the same for what clang moves into functions of its own.
func TestOutlined(t *testing.T) {
	flags := append([]string{"-Oz", "-fPIC", "-shared", "-nostdlib"}, arm64Clang...)
	im := mustLoad(t, victim.Build(t, "clang", []string{"image/outlined.c"}, flags...), Options{})
	moved := false
	for _, a := range im.Atoms {
		moved = moved || strings.HasPrefix(a.Name, "OUTLINED_FUNCTION_")
	}
	if !moved {
		t.Fatal("the compiler moved nothing")
	}
	for _, f := range []string{"one", "two", "three"} {
		if unknown, known := countPages(im.mustBody(t, f)); unknown == 0 {
			t.Errorf("%s: all of %d pages are taken for understood", f, known)
		}
	}
}
