package types

import (
	"flag"
	"maps"
	"strings"
	"testing"
)

var oraclePairs = flag.String("pairs", "", "further pairs of builds, `OLD:NEW` by commas, whose changed types are compared with pahole's")

// TestPaholeDifferences: the types that changed are those for which pahole prints something else.
func TestPaholeDifferences(t *testing.T) {
	pairs := make(map[string][2]string)
	for name, cc := range map[string]string{"gcc": "gcc", "clang": "clang"} {
		old, new := versions(t, cc, "types/changes.c")
		pairs[name] = [2]string{old, new}
	}
	for _, p := range strings.Split(*oraclePairs, ",") {
		if old, new, ok := strings.Cut(p, ":"); ok {
			pairs[p] = [2]string{old, new}
		}
	}
	for name, p := range pairs {
		t.Run(name, func(t *testing.T) {
			a, b := pahole(t, p[0]), pahole(t, p[1])
			c := NewComparison(readFile(t, p[0]), readFile(t, p[1]))
			ours := make(map[string]bool)
			for _, x := range c.Changes() {
				if !x.Old.Enum && seenByPahole(&x) {
					ours[x.name.Qualified] = true
				}
			}
			both, differ := 0, 0
			for name, s := range a {
				n := b[name]
				if n == nil {
					continue
				}
				both++
				same := s.size == n.size && maps.Equal(s.fields, n.fields)
				if !same {
					differ++
				}
				if same == ours[name] {
					t.Errorf("%s: pahole says that it is the same: %v; found: %v", name, same, ours[name])
				}
			}
			for name := range ours {
				if a[name] == nil {
					t.Logf("%s changed; pahole does not print it", name)
				}
			}
			t.Logf("%d types in both builds, %d differ", both, differ)
		})
	}
}

// seenByPahole reports whether a change shows in names, sizes and places of the direct members.
func seenByPahole(c *Change) bool {
	for _, m := range c.Moves {
		if m.What != MoveType && m.What != MoveSlot && !strings.Contains(m.Member, ".") {
			return true
		}
	}
	return false
}
