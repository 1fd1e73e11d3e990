package elfdiff

import (
	"debug/elf"
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
