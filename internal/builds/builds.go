// Package builds compares two builds of a test program.
package builds

import (
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
)

// Targets returns the targets whose builds the differ is tested with, on this machine.
func Targets(t testing.TB) []victim.Target {
	t.Helper()
	return victim.Targets(t)
}

// Compare compares two builds, with the given acknowledgements. An error fails the test.
func Compare(t testing.TB, old, new string, acks []string) *elfdiff.Result {
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

// Patch makes the patch, with every word given that it asks for. No patch fails the test.
func Patch(t testing.TB, old, new string) *patch.File {
	t.Helper()
	r := Compare(t, old, new, nil)
	if r.Patch == nil && len(r.Missing) > 0 {
		r = Compare(t, old, new, r.Missing)
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
