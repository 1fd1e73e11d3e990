package pairs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/pairs"
	"hotpatch/internal/victim"
	"hotpatch/ptrace/inject"
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
			v := victim.Start(t, old)
			expect(t, v, "before", p.Before)
			r, err := inject.Apply(context.Background(), v.PID, []*patch.File{f}, inject.Options{Wait: 5 * time.Second})
			if err != nil {
				t.Fatal("apply: ", err)
			}
			expect(t, v, "after", p.After)
			if _, err := inject.Revert(context.Background(), v.PID, "", inject.Options{Wait: 5 * time.Second}); err != nil {
				t.Fatalf("revert: %v (applied: %+v)", err, r)
			}
			expect(t, v, "reverted", p.Reverted)
			v.End()
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
	opt := elfdiff.Options{User: "test", Date: time.Unix(0, 0)}
	for {
		a, err := image.Load(old, image.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := image.Load(new, image.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := elfdiff.Diff(a, b, opt)
		if err != nil {
			t.Fatal(err)
		}
		if r.Patch == nil && len(opt.Acks) == 0 && len(r.Missing) > 0 {
			opt.Acks = r.Missing
			continue
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
}
