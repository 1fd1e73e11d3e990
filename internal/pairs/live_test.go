package pairs_test

import (
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/pairs"
	"hotpatch/internal/victim"
)

// TestLive runs the old build of every pair, patches it, and reverts it: the
// answers are those that the program's header comment states.
func TestLive(t *testing.T) {
	for _, p := range pairs.Load(t) {
		if p.After == "" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			old, new := p.Build(t, "gcc")
			f := diff(t, old, new)
			run(t, p, old, f)
		})
	}
}

func expect(t *testing.T, v *victim.Victim, when, want string) {
	t.Helper()
	if got := v.Ask("go"); got != want {
		t.Fatalf("%s: the program answers %q, want %q", when, got, want)
	}
}

// diff makes the patch, with every word given that it asks for.
func diff(t *testing.T, old, new string) *patch.File {
	t.Helper()
	r := compare(t, old, new, nil)
	if r.Patch == nil && len(r.Missing) > 0 {
		r = compare(t, old, new, r.Missing)
	}
	if r.Patch == nil {
		var why []string
		for _, c := range r.Changes {
			why = append(why, c.Name+": "+c.Why)
		}
		t.Fatalf("no patch: %s", strings.Join(why, "; "))
	}
	f, err := r.Patch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func compare(t *testing.T, old, new string, acks []string) *elfdiff.Result {
	t.Helper()
	a, err := image.Load(old, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := image.Load(new, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := elfdiff.Diff(a, b, elfdiff.Options{Acks: acks, User: "test", Date: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
