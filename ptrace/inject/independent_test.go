package inject

import (
	"testing"

	"hotpatch/elfdiff/patch"
)

// TestSharedInline: the debug information's name of a function that is inlined is not always that of its symbol.
func TestSharedInline(t *testing.T) {
	for _, c := range []struct {
		name, function, inlined string // a function that one patch changes, and one that is inlined into the other's
		want                    bool
	}{
		{name: "the same", function: "clamp", inlined: "clamp", want: true},
		{name: "another", function: "clamp", inlined: "twice"},
		{name: "a part of the name", function: "clamped", inlined: "clamp"},
		{name: "a clone", function: "clamp.constprop.0", inlined: "clamp", want: true},
		{name: "dots in the name", function: "_ZN4core3ptr20drop_in_place$LT$a..B$GT$17h0E", inlined: "_ZN4core3ptr20drop_in_place$LT$a..B$GT$17h0E", want: true},
		{name: "dots in the name of a clone", function: "_ZN5a..B17h0E.llvm.123", inlined: "_ZN5a..B17h0E", want: true},
		{name: "a constructor", function: "_ZN5QueueC2Ei", inlined: "_ZN5QueueC4Ei", want: true},
		{name: "a destructor", function: "_ZN5QueueD0Ev", inlined: "_ZN5QueueD4Ev", want: true},
		{name: "a constructor and a destructor", function: "_ZN5QueueC2Ev", inlined: "_ZN5QueueD4Ev"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &patch.Patch{Funcs: []patch.Func{{Name: c.function}}}
			q := &patch.Patch{Funcs: []patch.Func{{Name: "other"}}, Reach: patch.Reach{Inlined: []string{c.inlined}}}
			for _, both := range [][2]*patch.Patch{{p, q}, {q, p}} {
				if got := sharedInline(both[0], both[1]); (got != "") != c.want {
					t.Errorf("shared: %q", got)
				}
			}
		})
	}
}
