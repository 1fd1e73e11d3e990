package image

import (
	"slices"
	"testing"

	"hotpatch/internal/victim"
)

// TestExposed checks that what a word of the stack frame holds counts as known behind a call only as long as nobody else knows where it is: what the
// function reaches from there is then found.
func TestExposed(t *testing.T) {
	im := mustLoad(t, victim.Build(t, arm64GCC, []string{"image/exposed.s"}, "-shared", "-nostdlib", "-Wl,-Bsymbolic"), Options{})
	for _, c := range []struct {
		function string
		known    bool
	}{
		{function: "kept", known: true},
		{function: "beside", known: true},
		{function: "shown"},
		{function: "below"},
	} {
		t.Run(c.function, func(t *testing.T) {
			b := im.mustBody(t, c.function)
			known := slices.ContainsFunc(b.Refs, func(r Ref) bool { return r.Kind == RefMem && r.Place.Atom != nil && r.Place.Atom.Name == "neighbour" })
			if known != c.known {
				t.Errorf("the access to the neighbour is found: %v, want %v", known, c.known)
			}
		})
	}
}
