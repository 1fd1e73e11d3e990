package elfdiff_test

import (
	"testing"

	"hotpatch/elfdiff"
	"hotpatch/internal/pairs"
	"hotpatch/internal/reasons"
	"hotpatch/internal/victim"
)

// TestReasonsAreTrue holds what the reports of all pairs say of functions against binutils.
func TestReasonsAreTrue(t *testing.T) {
	for _, target := range victim.Targets(t) {
		t.Run(target.Name, func(t *testing.T) { checkReasons(t, target) })
	}
}

// checkReasons does that for one architecture.
func checkReasons(t *testing.T, target victim.Target) {
	total := make(chan int, 1000)
	t.Run("pairs", func(t *testing.T) {
		for _, p := range pairs.Load(t) {
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				p := p.For(t, target)
				old, new := p.BuildFor(t, target, "gcc")
				r, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{})
				if err != nil {
					t.Fatal(err)
				}
				wrong, checked, err := reasons.Check(old, new, r.Changes)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range wrong {
					t.Error(s)
				}
				total <- checked
			})
		}
	})
	close(total)
	sum := 0
	for n := range total {
		sum += n
	}
	if t.Logf("%d statements checked", sum); sum < 10 {
		t.Errorf("only %d statements were checked", sum)
	}
}
