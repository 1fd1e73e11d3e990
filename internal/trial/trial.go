// Package trial applies a patch to a running program, and takes it back.
package trial

import (
	"context"
	"testing"
	"time"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
)

// Wait is how long a changed function may stay busy: victims wait for input nearly all the time.
const Wait = 5 * time.Second

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
