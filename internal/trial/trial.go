// Package trial compares two builds of a small program, and applies the patch to the running old one.
package trial

import (
	"context"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

// Wait is how long a changed function may stay busy: victims wait for input nearly all the time.
const Wait = 5 * time.Second

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

// Answers are what a victim answers to a line of input.
type Answers struct {
	Before, After, Reverted string
}

// Run starts a program, applies the patch to it and reverts it, and asks it at each stage.
func Run(t testing.TB, f *patch.File, want Answers, program string, args ...string) {
	t.Helper()
	v := victim.Start(t, program, args...)
	Expect(t, v, "before", want.Before)
	if _, err := inject.Apply(context.Background(), v.PID, []*patch.File{f}, inject.Options{Wait: Wait}); err != nil {
		t.Fatal("apply: ", err)
	}
	Expect(t, v, "after", want.After)
	if _, err := inject.Revert(context.Background(), v.PID, "", inject.Options{Wait: Wait}); err != nil {
		t.Fatal("revert: ", err)
	}
	Expect(t, v, "reverted", want.Reverted)
	v.End()
}

// Expect fails the test unless the victim's next answer is want.
func Expect(t testing.TB, v *victim.Victim, when, want string) {
	t.Helper()
	if got := v.Ask("go"); got != want {
		t.Fatalf("%s: the program answers %q, want %q", when, got, want)
	}
}
