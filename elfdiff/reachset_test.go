package elfdiff_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hotpatch/arch"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/victim"
)

// TestReach looks at what the patches of testdata/inject/between.c say that their code leads to: in programs, and in libraries whose calls go
// through stubs.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		name     string
		flags    []string
		from, to int
		new, old []string // "FUNCTION leads to WHAT", some of what there is
		none     []string // what nothing may lead to
		inlined  []string
	}{
		{name: "alone", from: 2, to: 3, new: []string{"beta leads to zero"}, none: []string{"alpha", "middle", "added"}},
		{name: "calls", flags: []string{"-DCALLS"}, from: 2, to: 3, new: []string{"beta leads to alpha", "beta leads to added"}},
		{name: "through", flags: []string{"-DTHROUGH"}, from: 2, to: 3, new: []string{"beta leads to middle", "beta leads to alpha"}},
		{name: "back", flags: []string{"-DBACK"}, from: 1, to: 2, old: []string{"alpha leads to beta"}, none: []string{"middle"}},
		{name: "inlined", flags: []string{"-DINLINED"}, from: 2, to: 3, inlined: []string{"half"}},
		{name: "library", flags: []string{"-DTHROUGH", "-shared", "-fPIC"}, from: 2, to: 3,
			new: []string{"beta leads to middle", "beta leads to alpha"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			build := func(v int) string {
				flags := append([]string{"-O2", "-g", "-pthread", "-Wl,--build-id", fmt.Sprintf("-DV=%d", v)}, c.flags...)
				return victim.Build(t, "gcc", []string{"inject/between.c"}, flags...)
			}
			p := builds.Patch(t, build(c.from), build(c.to)).Patch
			if p.Reach.Unknown != "" || !slices.Equal(p.Reach.Inlined, c.inlined) {
				t.Errorf("unknown %q, inlined %q", p.Reach.Unknown, p.Reach.Inlined)
			}
			have := ways(t, p, p.Reach.New, build(c.to))
			was := ways(t, p, p.Reach.Old, build(c.from))
			for _, list := range [][2][]string{{c.new, have}, {c.old, was}} {
				for _, want := range list[0] {
					if !slices.Contains(list[1], want) {
						t.Errorf("%q is not among %q", want, list[1])
					}
				}
			}
			for _, name := range c.none {
				for _, way := range append(have, was...) {
					if strings.HasSuffix(way, " "+name) {
						t.Errorf("%s", way)
					}
				}
			}
		})
	}
}

// ways spells what is led to, with the names of the build that it is in.
func ways(t *testing.T, p *patch.Patch, list []patch.Reached, path string) []string {
	t.Helper()
	im, err := image.Load(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[arch.ImageAddr]string)
	for _, a := range im.Atoms {
		names[a.Addr] = a.Name
	}
	var out []string
	for _, r := range list {
		out = append(out, p.Funcs[r.From].Name+" leads to "+names[r.Addr])
	}
	return out
}
