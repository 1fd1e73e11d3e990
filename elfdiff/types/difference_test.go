package types

import (
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

func TestReadDifference(t *testing.T) {
	type flags = []string
	for _, tc := range []struct {
		name, cc, source string
		old, new         flags
		equal, same      bool // no unit differs; types are the same
	}{
		{name: "one build", cc: "gcc", source: "types/forms.c", equal: true, same: true},
		{name: "one build by clang, with strings and addresses by index", cc: "clang", source: "types/forms.c", equal: true, same: true},
		{name: "other addresses", cc: "gcc", source: "types/forms.c", new: flags{"-Wl,--section-start=.init=0x20000"}, equal: true, same: true},
		{name: "other texts", cc: "gcc", source: "types/forms.c", new: flags{"-ffile-prefix-map=/=/elsewhere/with/a/long/name/"}, equal: true, same: true},
		{name: "other code", cc: "gcc", source: "types/forms.c", new: flags{"-O2"}, same: true},
		{name: "C types", cc: "gcc", source: "types/changes.c", old: flags{"-DV=1"}, new: flags{"-DV=2"}},
		{name: "C types by clang", cc: "clang", source: "types/changes.c", old: flags{"-DV=1"}, new: flags{"-DV=2"}},
		{name: "DWARF 3", cc: "gcc", source: "types/changes.c", old: flags{"-gdwarf-3", "-DV=1"}, new: flags{"-gdwarf-3", "-DV=2"}},
		{name: "C++ types", cc: "g++", source: "types/changes.cc", old: flags{"-DV=1"}, new: flags{"-DV=2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			build := func(more flags) *Sections {
				return sections(t, victim.Build(t, tc.cc, []string{tc.source}, append(flags{"-g", "-O1"}, more...)...))
			}
			old, new := build(tc.old), build(tc.new)
			d := ReadDifference(old, new)
			if d == nil {
				t.Fatal("the builds cannot be compared unit by unit")
			}
			if equal := len(d.Old.All()) == 0; equal != tc.equal {
				t.Errorf("no unit differs: %t, want %t", equal, tc.equal)
			}
			if same := d.SameTypes(); same != tc.same {
				t.Errorf("types are the same: %t, want %t", same, tc.same)
			}
			checkDifference(t, d, old, new)
		})
	}
}

// checkDifference holds what was found unit by unit against both builds as a whole.
func checkDifference(t *testing.T, d *Difference, old, new *Sections) {
	t.Helper()
	a, err := Read(old)
	if err != nil {
		return // a type in a unit that is the same in both builds cannot be made
	}
	b, err := Read(new)
	if err != nil {
		return
	}
	if a.Units != d.Old.Units || b.Units != d.New.Units || len(a.Covered) != len(d.Old.Covered) || len(b.Covered) != len(d.New.Covered) {
		t.Errorf("units, ranges: %d, %d; %d, %d, as a whole %d, %d; %d, %d", d.Old.Units, len(d.Old.Covered), d.New.Units, len(d.New.Covered),
			a.Units, len(a.Covered), b.Units, len(b.Covered))
	}
	if got, want := len(d.Funcs)+len(d.Old.Funcs), len(a.Funcs); got != want {
		t.Errorf("%d functions, as a whole %d", got, want)
	}
	if got, want := len(d.Variables)+len(d.New.Variables), len(b.Variables); got != want {
		t.Errorf("%d variables, as a whole %d", got, want)
	}
	c := NewComparison(a, b)
	if d.SameTypes() && len(c.Changes())+len(c.Added()) > 0 {
		t.Errorf("the same types, but as a whole %v changed, %v came", c.Changes(), c.Added())
	}
	for _, f := range d.Funcs {
		x, y := funcAt(a, f.Old), funcAt(b, f.New)
		if x == nil || y == nil || a.Prototype(x) != b.Prototype(y) {
			t.Errorf("functions at %#x and %#x are said to be the same", f.Old, f.New)
		}
	}
}

func funcAt(b *Build, addr uint64) *Func {
	for i := range b.Funcs {
		if b.Funcs[i].Addr == addr {
			return &b.Funcs[i]
		}
	}
	return nil
}

// TestReadDifferenceBytes changes one byte of the debug information at a time: where it is said that types are the same, they are so as a whole.
func TestReadDifferenceBytes(t *testing.T) {
	old := sections(t, victim.Build(t, "gcc", []string{"types/small.c"}, "-O1", "-g", "-nostdlib", "-static"))
	told, unlike := 0, 0
	for _, at := range []func(*Sections) *string{
		func(s *Sections) *string { return &s.Info },
		func(s *Sections) *string { return &s.Abbrev },
		func(s *Sections) *string { return &s.Str },
	} {
		for i := range len(*at(old)) {
			new := *old
			b := []byte(*at(old))
			b[i] ^= 1 << (i % 8)
			*at(&new) = string(b)
			d := ReadDifference(old, &new)
			if d == nil {
				unlike++
				continue
			}
			if d.SameTypes() {
				told++
			}
			checkDifference(t, d, old, &new)
		}
	}
	if told == 0 || unlike == 0 {
		t.Errorf("of all changes %d leave the types the same, and %d let the builds be read as a whole: the test shows nothing", told, unlike)
	}
}

// FuzzReadDifference: for any bytes, what is said to be the same in two builds is so as a whole.
func FuzzReadDifference(f *testing.F) {
	small := pack(sections(f, victim.Build(f, "gcc", []string{"types/small.c"}, "-O1", "-g", "-nostdlib", "-static")))
	f.Add(small, small)
	f.Add(small, []byte(strings.Replace(string(small), "int", "xnt", 1)))
	f.Fuzz(func(t *testing.T, old, new []byte) {
		a, b := unpack(old), unpack(new)
		if d := ReadDifference(a, b); d != nil && d.SameTypes() && len(d.Old.All()) == 0 {
			x, err := Read(a)
			y, also := Read(b)
			if err != nil || also != nil {
				return
			}
			if c := NewComparison(x, y); len(c.Changes()) > 0 {
				t.Fatalf("the same, but as a whole %v", c.Changes())
			}
		}
	})
}
