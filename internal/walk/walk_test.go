package walk

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"hotpatch/internal/victim"
)

// The whole walk: go test ./internal/walk -walk.steps 10000 -timeout 60m
var (
	steps = flag.Int("walk.steps", victim.Scale(80, 16), "steps of the random walk")
	seed  = flag.Uint64("walk.seed", 1, "which random walk")
)

// TestWalk goes from version to version at random, and checks everything after each step.
func TestWalk(t *testing.T) {
	w := newWalker(t, *seed, victim.Scale(14, 3))
	begin := time.Now()
	for i := range *steps {
		w.step(i)
	}
	w.leave()
	took := time.Since(begin).Seconds()
	t.Logf("seed %d: %d steps in %.1f s (%.0f steps/s): %v", *seed, *steps, took, float64(*steps)/took, w.counts)
	m := &w.model.memory
	t.Logf("in the first process %d KiB of payloads: its %d patches stood in %d chains", m.bytes>>10, len(w.edges), len(m.seen))
	for _, verb := range w.verbs() {
		if *steps >= 1000 && w.counts[verb.name] == 0 {
			t.Errorf("never: %s", verb.name)
		}
	}
}

// TestFlat applies every patch of a single chain once. From then on the process and its children have the same mappings, whatever is applied
// and reverted, journals aside, of which there are no more than patches.
func TestFlat(t *testing.T) {
	w := newWalker(t, *seed, 0)
	for len(w.onward(w.model.version())) > 0 {
		w.doing = "the first time"
		w.applyOne()
	}
	w.check()
	want := w.payloads()
	for i := range min(*steps, 25) {
		w.step(i)
		if got := w.payloads(); !slices.Equal(got, want) {
			t.Fatalf("%s: payloads at %q, want %q", w.doing, got, want)
		}
	}
	w.leave()
}

// A verb is a kind of step.
type verb struct {
	name   string
	weight int
	do     func() (done bool)
}

func (w *walker) verbs() []verb {
	return []verb{
		{"apply", 30, w.applyOne},
		{"apply several", 8, w.applySeveral},
		{"apply again", 3, w.applyAgain},
		{"apply another's", 3, w.applyForeign},
		{"revert newest", 10, w.revertNewest},
		{"revert any", 10, w.revertAny},
		{"revert all", 1, w.revertAll},
		{"fill", 10, w.fill},
		{"replace", 15, w.replace},
		{"fork", 2, w.fork},
		{"end", 2, w.end},
	}
}

// step makes one step and checks what has come of it.
func (w *walker) step(i int) {
	w.t.Helper()
	verbs := w.verbs()
	total := 0
	for _, v := range verbs {
		total += v.weight
	}
	for {
		n := w.rand.IntN(total)
		k := 0
		for ; n >= verbs[k].weight; k++ {
			n -= verbs[k].weight
		}
		w.doing = fmt.Sprintf("step %d of seed %d, %s", i, w.seed, verbs[k].name)
		if verbs[k].do() {
			w.counts[verbs[k].name]++
			w.check()
			return
		}
	}
}

// pick returns one of a list.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
