package elfdiff

import (
	"debug/elf"
	"slices"
	"strings"
	"testing"

	"hotpatch/elfdiff/image"
	"hotpatch/internal/victim"
)

// TestUnclaimedSections refers to an address in each of two sections, as code does that reads a table backwards and compares with what would
// stand in front of it. What nobody refers to counts in .rodata, and never in .dynamic, which is another one in every link.
func TestUnclaimedSections(t *testing.T) {
	im, err := image.Load(victim.Build(t, "gcc", []string{"image/places.c", "image/places_b.c"}, "-O2", "-fPIE", "-pie", "-lm"), image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &side{im: im}
	u := &unit{im: im, extras: noExtras}
	for _, sec := range im.Sections {
		if sec.Name == ".rodata" || sec.Type == elf.SHT_DYNAMIC {
			u.refs = append(u.refs, reference{to: image.PlaceAnon, kind: image.RefMem, width: 1, addr: uint32(sec.Addr - baseOf(im))})
		}
	}
	if len(u.refs) != 2 {
		t.Fatalf("%d of the sections are there, want 2", len(u.refs))
	}
	s.units = []*unit{u}
	found := make(map[string]bool)
	for _, fronts := range s.unclaimed() {
		for _, at := range fronts {
			found[im.SectionAt(at).Name] = true
		}
	}
	if found[".dynamic"] || !found[".rodata"] {
		t.Errorf("unclaimed data in %v, want some in .rodata, and none in .dynamic", found)
	}
}

// TestPiecesOfPointers links one library in two layouts: the pointers in its data are other numbers, but lead to the same places.
func TestPiecesOfPointers(t *testing.T) {
	pieces := func(layout string) (all []string, raw string) {
		flags := []string{"-O2", "-fPIC", "-shared", "-lm", "-Wl,-z," + layout}
		im, err := image.Load(victim.Build(t, "gcc", []string{"image/places.c", "image/places_b.c"}, flags...), image.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := &side{im: im}
		for _, sec := range im.Sections {
			if sec.Name == ".data" || sec.Name == ".data.rel.ro" {
				raw += string(sec.Data)
				all = append(all, s.piecesIn(sec.Data, sec.Addr)...)
			}
		}
		return all, raw
	}
	a, rawA := pieces("separate-code")
	b, rawB := pieces("noseparate-code")
	if rawA == rawB {
		t.Fatal("the pointers are equal numbers: nothing is tested")
	}
	if !slices.Equal(a, b) {
		t.Errorf("pieces differ:\n%q\n%q", a, b)
	}
	leads := func(p string) bool { return strings.HasPrefix(p, "pointer to ") }
	if !slices.ContainsFunc(a, leads) || slices.IndexFunc(a, func(p string) bool { return !leads(p) }) < 0 {
		t.Errorf("pieces %q: want pointers with names, and other data", a)
	}
}
