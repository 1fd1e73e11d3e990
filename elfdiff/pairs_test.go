package elfdiff_test

import (
	"sort"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/builds"
	"hotpatch/internal/pairs"
	"hotpatch/internal/victim"
)

func load(t testing.TB, path string) *image.Image {
	t.Helper()
	im, err := image.Load(path, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// TestPairs diffs every program of testdata/pairs and compares the report with its directives.
func TestPairs(t *testing.T) {
	for _, target := range builds.Targets(t) {
		t.Run(target.Name, func(t *testing.T) { testPairs(t, target) })
	}
}

func testPairs(t *testing.T, target victim.Target) {
	for _, p := range pairs.Load(t) {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			p := p.For(t, target)
			old, new := p.BuildFor(t, target, "gcc")
			opt := elfdiff.Options{User: "test", Date: time.Unix(0, 0)}
			r, err := elfdiff.Diff(load(t, old), load(t, new), opt)
			if err != nil {
				t.Fatal(err)
			}
			names := make(map[string][]string)
			for _, c := range r.Changes {
				key := c.Change
				if c.What != "function" {
					key = c.What
				}
				names[key] = append(names[key], c.Name)
			}
			for _, want := range []struct {
				what  string
				names []string
			}{{"changed", p.Changed}, {"added", p.Added}, {"removed", p.Removed}, {"line", p.Line}, {"object", p.Objects}, {"type", p.Types}} {
				if got, want := sorted(names[want.what]), sorted(want.names); got != want {
					t.Errorf("%s: got [%s], want [%s]", p.Name, got, want)
				}
			}
			defer func() {
				for _, c := range r.Changes {
					if t.Failed() {
						t.Logf("%s %s %s: %s %v %s", c.What, c.Name, c.Change, c.Verdict, c.Reasons, c.Why)
					}
				}
			}()
			checkVerdict(t, p, r, old, new)
		})
	}
}

func sorted(l []string) string {
	l = append([]string(nil), l...)
	sort.Strings(l)
	return strings.Join(l, " ")
}

func checkVerdict(t *testing.T, p *pairs.Pair, r *elfdiff.Result, old, new string) {
	verdict, detail, _ := strings.Cut(p.Verdict, " ")
	switch verdict {
	case "nothing":
		if len(r.Changes) != 0 || r.Patch != nil {
			t.Errorf("%d changes, want none", len(r.Changes))
		}
	case "ok":
		if r.Patch == nil {
			t.Fatalf("no patch: %d refused, missing %v", r.Refused, r.Missing)
		}
		if _, err := r.Patch.Encode(); err != nil {
			t.Error(err)
		}
	case "refused":
		if r.Patch != nil || r.Refused == 0 {
			t.Fatalf("not refused")
		}
		found := false
		for _, c := range r.Changes {
			found = found || c.Verdict == patch.Refused && strings.Contains(c.Why, detail)
		}
		if !found {
			t.Errorf("no refusal says %q", detail)
		}
	case "ack":
		if r.Patch != nil {
			t.Fatal("a patch was made without the word")
		}
		if got := sorted(r.Missing); got != sorted(pairs.Acks(detail)) {
			t.Fatalf("missing %q, want %q", got, detail)
		}
		again, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{Acks: r.Missing, User: "test", Date: time.Unix(0, 0)})
		if err != nil || again.Patch == nil {
			t.Fatalf("with the word given: %v, %+v", err, again)
		}
		if len(again.Patch.Acks) != len(r.Missing) {
			t.Errorf("acks recorded: %v", again.Patch.Acks)
		}
	default:
		t.Fatalf("unknown verdict %q", p.Verdict)
	}
}
