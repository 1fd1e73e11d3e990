package elfdiff

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func code(s string) []instruction {
	var out []instruction
	for _, c := range strings.Fields(s) {
		out = append(out, instruction{canon: c, outline: c})
	}
	return out
}

func TestAlignInstructions(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		hunks          int
		pairs          int
	}{
		{"equal", "a b c", "a b c", 0, 3},
		{"empty", "", "", 0, 0},
		{"all new", "", "a b", 1, 0},
		{"all gone", "a b", "", 1, 0},
		{"one put in", "a b c", "a x b c", 1, 3},
		{"one taken out", "a b c", "a c", 1, 2},
		{"one exchanged", "a b c", "a x c", 1, 2},
		{"first exchanged", "a b c", "x b c", 1, 2},
		{"last exchanged", "a b c", "a b x", 1, 2},
		{"two places", "a b c d e", "a x c d y e", 2, 4},
		{"nothing in common", "a b", "x y z", 1, 0},
		{"repeated", "a a a a", "a a a", 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			hunks, pairs := alignInstructions(code(c.old), code(c.new))
			if hunks != c.hunks || len(pairs) != c.pairs {
				t.Errorf("%d places, %d pairs (%v); want %d and %d", hunks, len(pairs), pairs, c.hunks, c.pairs)
			}
		})
	}
}

// TestAlignProperties: pairs are equal and increase in both bodies, and as many instructions are paired
// as a quadratic computation of the longest common subsequence finds.
func TestAlignProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	body := func() []instruction {
		out := make([]instruction, rnd.IntN(40))
		for i := range out {
			out[i].canon = string(rune('a' + rnd.IntN(4)))
			out[i].outline = out[i].canon
		}
		return out
	}
	for range 3000 {
		a, b := body(), body()
		hunks, pairs := alignInstructions(a, b)
		last := [2]int{-1, -1}
		for _, p := range pairs {
			if a[p[0]].canon != b[p[1]].canon || p[0] <= last[0] || p[1] <= last[1] {
				t.Fatalf("pair %v behind %v: %q %q", p, last, a[p[0]].canon, b[p[1]].canon)
			}
			last = p
		}
		if want := longestCommon(a, b); len(pairs) != want {
			t.Fatalf("%d pairs, want %d", len(pairs), want)
		}
		if equal := len(a) == len(b) && len(pairs) == len(a); (hunks == 0) != equal {
			t.Fatalf("%d places, equal: %v", hunks, equal)
		}
	}
}

func longestCommon(a, b []instruction) int {
	row := make([]int, len(b)+1)
	for i := range a {
		diagonal := 0
		for j := range b {
			up := row[j+1]
			if a[i].canon == b[j].canon {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(up, row[j])
			}
			diagonal = up
		}
	}
	return row[len(b)]
}

func TestAlignGivesUp(t *testing.T) {
	a, b := make([]instruction, maxEdits), make([]instruction, maxEdits)
	for i := range a {
		a[i].canon, b[i].canon = "old", "new"
		a[i].outline, b[i].outline = "old", "new"
	}
	if hunks, pairs := alignInstructions(a, b); hunks != -1 || pairs != nil {
		t.Errorf("%d places and %d pairs for bodies without anything in common", hunks, len(pairs))
	}
}
