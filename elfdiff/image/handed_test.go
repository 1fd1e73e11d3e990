package image

import (
	"debug/elf"
	"slices"
	"testing"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// TestHanded looks at what functions access for certain through their first argument, and at what others hand to them.
func TestHanded(t *testing.T) {
	for _, target := range victim.Targets(t) {
		for _, cc := range []string{"gcc", "clang"} {
			for _, level := range []string{"-O1", "-O2", "-Os"} {
				t.Run(target.Name+"/"+cc+level, func(t *testing.T) {
					im := mustLoad(t, target.Build(t, cc, []string{"image/handed.c"}, level, "-g", "-fPIE", "-pie"), Options{})
					testDerefs(t, im, firstArg(im))
					testHanded(t, im)
				})
			}
		}
	}
}

// firstArg returns the register of the first argument: rdi (System V ABI for x86-64, 3.2.3), x0 (AAPCS64, 6.8.2).
func firstArg(im *Image) arch.Reg {
	if im.Arch.Machine == elf.EM_X86_64 {
		return 7
	}
	return 0
}

func testDerefs(t *testing.T, im *Image, arg arch.Reg) {
	for _, c := range []struct {
		name string
		want []int64 // bytes
	}{
		{name: "always", want: []int64{0}},
		{name: "field", want: []int64{16}},
		{name: "ways", want: []int64{8}},
		{name: "retries", want: []int64{0}},
		{name: "chased", want: []int64{0}},
		{name: "maybe"},
		{name: "counted"},
		{name: "later"},
		{name: "waits"},
		{name: "passes"},
		{name: "compares"},
	} {
		if got := im.derefsOf(im.atom(t, c.name), arg); !slices.Equal(got, c.want) {
			t.Errorf("%s accesses %d, want %d", c.name, got, c.want)
		}
	}
}

func testHanded(t *testing.T, im *Image) {
	table := im.atom(t, "table")
	for _, c := range []struct {
		name string
		want []int64
	}{
		{name: "calls", want: []int64{0}},
		{name: "jumps", want: []int64{16}},
		{name: "keeps", want: []int64{8}},
		{name: "forwards", want: []int64{0}},
		{name: "either"},
		{name: "doubtful"},
		{name: "passed"},
		{name: "unknown"},
	} {
		b, found := im.mustBody(t, c.name), false
		for i := range b.Refs {
			r := &b.Refs[i]
			if r.Place.Atom != table || r.Kind != RefAddr && r.Kind != RefImm {
				continue
			}
			found = true
			use := im.AddressUse(b, r)
			if got := use.Handed(); !slices.Equal(got, c.want) {
				t.Errorf("%s hands what is accessed at %d, want %d", c.name, got, c.want)
			}
		}
		if !found {
			t.Errorf("%s does not take the address", c.name)
		}
	}
}

// TestHandedAtOnce asks for the same functions from many goroutines (for the race detector).
func TestHandedAtOnce(t *testing.T) {
	im := mustLoad(t, victim.Build(t, "gcc", []string{"image/handed.c"}, "-O2", "-fPIE", "-pie"), Options{})
	a, arg := im.atom(t, "retries"), firstArg(im)
	answers := make(chan []int64)
	const askers = 8
	for range askers {
		go func() { answers <- im.derefsOf(a, arg) }()
	}
	for range askers {
		if got := <-answers; !slices.Equal(got, []int64{0}) {
			t.Errorf("accesses %d", got)
		}
	}
}
