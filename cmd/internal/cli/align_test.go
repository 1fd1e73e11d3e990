package cli

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func keys(s string) []line {
	var out []line
	for _, w := range strings.Fields(s) {
		out = append(out, line{key: w, outline: w})
	}
	return out
}

func TestAlign(t *testing.T) {
	tests := []struct {
		name     string
		old, new string
		want     string // one word a row: x equal, a|b beside each other, a< only old, >b only new
	}{
		{name: "equal", old: "a b c", new: "a b c", want: "a b c"},
		{name: "empty", old: "", new: "", want: ""},
		{name: "inserted", old: "a c", new: "a b c", want: "a >b c"},
		{name: "removed", old: "a b c", new: "a c", want: "a b< c"},
		{name: "changed", old: "a b c", new: "a x c", want: "a b|x c"},
		{name: "all other", old: "a b", new: "x y z", want: "a|x b|y >z"},
		{name: "anchor in the middle", old: "p m q", new: "r s m t", want: "p|r >s m q|t"},
		{name: "repeats", old: "a a b", new: "a b b", want: "a a|b b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old, new := keys(tt.old), keys(tt.new)
			var got []string
			for _, r := range align(old, new) {
				switch {
				case r.new < 0:
					got = append(got, old[r.old].key+"<")
				case r.old < 0:
					got = append(got, ">"+new[r.new].key)
				case old[r.old].key == new[r.new].key:
					got = append(got, old[r.old].key)
				default:
					got = append(got, old[r.old].key+"|"+new[r.new].key)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

// Every line stands in exactly one row, in order, whatever the listings are.
func TestAlignComplete(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var l [2][]line
		for side := range l {
			for range rnd.IntN(30) {
				k := string(rune('a' + rnd.IntN(4)))
				l[side] = append(l[side], line{key: k, outline: k})
			}
		}
		i, j := 0, 0
		for _, r := range align(l[0], l[1]) {
			if r.old >= 0 {
				if r.old != i {
					t.Fatalf("old line %d stands where %d belongs: %v %v", r.old, i, l[0], l[1])
				}
				i++
			}
			if r.new >= 0 {
				if r.new != j {
					t.Fatalf("new line %d stands where %d belongs: %v %v", r.new, j, l[0], l[1])
				}
				j++
			}
		}
		if i != len(l[0]) || j != len(l[1]) {
			t.Fatalf("%d of %d old and %d of %d new lines shown", i, len(l[0]), j, len(l[1]))
		}
	}
}
