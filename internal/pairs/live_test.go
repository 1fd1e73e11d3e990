package pairs_test

import (
	"testing"

	"hotpatch/internal/builds"
	"hotpatch/internal/pairs"
	"hotpatch/internal/trial"
	"hotpatch/internal/victim"
)

// TestLive runs the old build of every pair, patches it, and reverts it: the
// answers are those that the program's header comment states.
func TestLive(t *testing.T) {
	for _, p := range pairs.Load(t) {
		p = p.For(t, victim.Native(t))
		if p.After == "" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			old, new := p.Build(t, "gcc")
			trial.Run(t, builds.Patch(t, old, new), trial.Answers{Before: p.Before, After: p.After, Reverted: p.Reverted}, old)
		})
	}
}
