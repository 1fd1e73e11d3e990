package image

import (
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// TestOutside looks at an address that lies in .eh_frame_hdr or .eh_frame and counts from a table in .rodata: it is not taken for what is there.
func TestOutside(t *testing.T) {
	for _, c := range []struct {
		name, flag string
		why        string
	}{
		{name: "with relocations", flag: "-Wl,--emit-relocs", why: "its relocation counts from section .rodata"},
		{name: "without", flag: "-Wl,-O1", why: "to which code does not refer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			im := mustLoad(t, victim.Build(t, "gcc", []string{"image/outside.c"}, "-O2", "-fPIE", "-pie", c.flag), Options{})
			only := func(fn string) Place {
				b := im.mustBody(t, fn)
				if len(b.Refs) != 1 {
					t.Fatalf("%s has %d references, want 1", fn, len(b.Refs))
				}
				return b.Refs[0].Place
			}
			if p := only("inside"); p.Kind != PlaceAtom || p.Atom.Name != "table" || p.Addend != 8 {
				t.Errorf("inside: %+v", p)
			}
			if p := only("behind"); p.Kind != PlaceUnknown || !strings.Contains(p.Why, c.why) {
				t.Errorf("behind: %+v, want no place, because %s", p, c.why)
			}
		})
	}
}
