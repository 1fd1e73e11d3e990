package mutate_test

import (
	"os"
	"slices"
	"testing"

	"hotpatch/internal/mutate"
	"hotpatch/internal/victim"
)

// build is a program and how it is compiled.
type build struct {
	name, cc string
	sources  []string
	lib      string
}

var (
	server = []string{"kvd/kvd.c", "kvd/command.c", "kvd/queue.c", "kvd/table.c"}
	places = []string{"image/places.c", "image/places_b.c"}
)

var builds = []build{
	{"server gcc", "gcc", server, "-lpthread"},
	{"server clang", "clang", server, "-lpthread"},
	{"places gcc", "gcc", places, "-lm"},
}

func load(t *testing.T, b build) (*mutate.Program, string) {
	t.Helper()
	flags := []string{"-O2", "-fPIE", "-pie", "-Wl,--build-id", b.lib}
	plain := victim.Build(t, b.cc, b.sources, flags...)
	p, err := mutate.Load(plain, victim.Build(t, b.cc, b.sources, append(flags, "-Wl,-q")...))
	if err != nil {
		t.Fatal(err)
	}
	return p, plain
}

// TestMutations changes one thing after the other in small programs, and the differ finds each where it is, and nothing else.
// scripts/mutate does the same with real programs.
func TestMutations(t *testing.T) {
	const number = 500
	seen := make(map[mutate.Kind]bool)
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			p, plain := load(t, b)
			all, err := p.Draw(1, number)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) < number {
				t.Errorf("only %d mutations found", len(all))
			}
			diff, err := mutate.Elfdiff(plain)
			if err != nil {
				t.Fatal(err)
			}
			r, err := mutate.Run(p, all, t.TempDir(), diff, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Failures {
				t.Error(f.String())
			}
			for k, o := range r.Outcomes {
				seen[k] = true
				if o.Undecoded > o.Mutations/4 {
					t.Errorf("%s: %d of %d leave nothing that can be decoded", k, o.Undecoded, o.Mutations)
				}
				if want := o.Mutations; o.Right+o.None+o.Undecoded != want && len(r.Failures) == 0 {
					t.Errorf("%s: %d of %d are right", k, o.Right+o.None, want)
				}
			}
		})
	}
	for _, k := range mutate.Kinds() {
		if !seen[k] && k != mutate.Slot { // an ordinary executable loads no address from the table
			t.Errorf("%s: no mutation was tried", k)
		}
	}
}

// TestJudge has a differ that misses the last change and invents one: both are noticed.
func TestJudge(t *testing.T) {
	p, plain := load(t, builds[0])
	all, err := p.Draw(2, 5)
	if err != nil {
		t.Fatal(err)
	}
	honest, err := mutate.Elfdiff(plain)
	if err != nil {
		t.Fatal(err)
	}
	r, err := mutate.Run(p, all, t.TempDir(), func(mutant string) ([]mutate.Change, error) {
		if _, err := os.Stat(mutant); err != nil {
			return nil, err
		}
		c, err := honest(mutant)
		slices.Reverse(c)
		if len(c) > 0 {
			c = c[1:]
		}
		return append(c, mutate.Change{What: "object", Name: "invented"}), err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	missed := 0
	for _, f := range r.Failures {
		if len(f.Missed) > 0 {
			missed++
		}
		if !slices.Contains(f.Invented, "object invented") {
			t.Errorf("%s: the invented change is not noticed", f.String())
		}
	}
	if missed != len(all) {
		t.Errorf("%d of %d missed changes are noticed", missed, len(all))
	}
}

// TestRebuilds links the same sources in other ways: nothing is reported. scripts/mutate rebuild does the same with real programs.
func TestRebuilds(t *testing.T) {
	usual := []string{"-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-lpthread"}
	diff, err := mutate.Elfdiff(victim.Build(t, "gcc", server, usual...))
	if err != nil {
		t.Fatal(err)
	}
	backwards := slices.Clone(server)
	slices.Reverse(backwards)
	for _, c := range []struct {
		name    string
		sources []string
		flag    string
	}{
		{"objects in another order", backwards, "-Wl,-O1"},
		{"sections by name", server, "-Wl,--sort-section=name"},
		{"sections by alignment", server, "-Wl,--sort-section=alignment"},
		{"code and data in one segment", server, "-Wl,-z,noseparate-code"},
		{"bound at the start", server, "-Wl,-z,now"},
		{"gold", server, "-fuse-ld=gold"},
		{"lld", server, "-fuse-ld=lld"},
		{"mold", server, "-fuse-ld=mold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes, err := diff(victim.Build(t, "gcc", c.sources, append(slices.Clone(usual), c.flag)...))
			if err != nil {
				t.Fatal(err)
			}
			for _, ch := range changes {
				t.Errorf("%s %s is reported", ch.What, ch.Name)
			}
		})
	}
}
