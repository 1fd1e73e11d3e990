package image

import (
	"testing"

	"hotpatch/internal/victim"
)

// libcForms is testdata/image/libc.s in a program.
func libcForms(t *testing.T) *Image {
	t.Helper()
	return mustLoad(t, victim.Build(t, arm64GCC, []string{"image/libc.s"}, "-static", "-nostdlib", "-Wl,-e,own"), Options{})
}

// TestOwnTable reads tables of which each entry is an offset from itself, and none where the entry may be added to something else.
func TestOwnTable(t *testing.T) {
	im := libcForms(t)
	for _, c := range []struct {
		function string
		entries  []uint32 // offsets
	}{
		{function: "own", entries: []uint32{60, 36, 44, 52}}, // an index of 0 is none: the first is the end
		{function: "moved"},
		{function: "again"},
	} {
		t.Run(c.function, func(t *testing.T) {
			b, err := im.Body(im.atom(t, c.function))
			if c.entries == nil {
				if err == nil && (len(b.Tables) > 0 || len(b.Indirect) != 1) {
					t.Errorf("tables %+v, indirect jumps %v", b.Tables, b.Indirect)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Tables) != 1 || len(b.Indirect) != 0 || len(b.Tables[0].Entries) != len(c.entries) || !b.Tables[0].Bounded {
				t.Fatalf("tables %+v, indirect jumps %v", b.Tables, b.Indirect)
			}
			for i, e := range b.Tables[0].Entries {
				if e.Off != c.entries[i] {
					t.Errorf("entry %d leads to %+#x, want %+#x", i, e.Off, c.entries[i])
				}
			}
		})
	}
}

// TestLibcForms checks of which functions all pages, and pieces of offsets from the thread pointer, are of known use.
func TestLibcForms(t *testing.T) {
	im := libcForms(t)
	for _, c := range []struct {
		function       string
		unknown, known int // pages
	}{
		{function: "callsjumps", known: 1},
		{function: "callssets", unknown: 1},
		{function: "kernel", known: 1},
		{function: "asks", unknown: 1},
		{function: "callswakes", known: 1},
		{function: "hands", unknown: 1},
		{function: "spilled", known: 1},
		{function: "number"},
		{function: "either", unknown: 1},
	} {
		t.Run(c.function, func(t *testing.T) {
			unknown, known := countPages(im.mustBody(t, c.function))
			if unknown != c.unknown || known != c.known {
				t.Errorf("%d pages of unknown use and %d of known, want %d and %d", unknown, known, c.unknown, c.known)
			}
		})
	}
}
