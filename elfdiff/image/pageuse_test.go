package image

import (
	"testing"

	"hotpatch/internal/victim"
)

// TestPagesBehindPanic checks in which functions the use of a page is understood to which other values of its register seem to come, behind calls of a
// function that does not return.
func TestPagesBehindPanic(t *testing.T) {
	im := mustLoad(t, victim.Build(t, arm64GCC, []string{"image/pages.s"}, "-shared", "-nostdlib"), Options{})
	for _, c := range []struct {
		function string
		unknown  int // pages
		known    int
	}{
		{function: "unset", known: 1},
		{function: "given", unknown: 1},
		{function: "unsaved", known: 1},
		{function: "straight", known: 1},
		{function: "aside", unknown: 1},
		{function: "called", unknown: 1},
		{function: "two", unknown: 2},
		{function: "changed", unknown: 2},
	} {
		t.Run(c.function, func(t *testing.T) {
			unknown, known := countPages(im.mustBody(t, c.function))
			if unknown != c.unknown || known != c.known {
				t.Errorf("%d pages of unknown use and %d of known, want %d and %d", unknown, known, c.unknown, c.known)
			}
		})
	}
}
