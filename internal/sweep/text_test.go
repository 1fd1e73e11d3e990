package sweep

import (
	"fmt"
	"testing"

	"hotpatch/arch/machines"
	"hotpatch/internal/victim"
)

// jumps is how many jumps the patches write.
const jumps = 3

// text is where the target has its own code, and how long a jump in it is. What a run writes elsewhere can be as long as one.
type text struct {
	low, high uint64 // [low, high)
	jump      int    // bytes
}

// newText finds the text of a target.
func newText(t *testing.T, tg *target) text {
	t.Helper()
	a, err := machines.Lookup(victim.Native(t).Machine)
	if err != nil {
		t.Fatal(err)
	}
	low, high := textOf(t, tg.v.PID, build(t, 1))
	return text{low: low, high: high, jump: a.Jump.Len}
}

// jumped reports whether the instant of this name is behind the write of a jump.
func (x text) jumped(name string) bool {
	size, at, ok := wrote(name, "after")
	return ok && size == x.jump && at >= x.low && at < x.high
}

// commits reports whether the instant of this name is before or after, as when says, the write of go: four bytes that are not of the text.
func (x text) commits(name, when string) bool {
	size, at, ok := wrote(name, when)
	return ok && size == 4 && (at < x.low || at >= x.high)
}

// written is how many jumps a run has written.
func (x text) written(r *run) int {
	n := 0
	for _, name := range r.names {
		if x.jumped(name) {
			n++
		}
	}
	return n
}

// wrote takes the name of an instant apart that is before or after a write.
func wrote(name, when string) (size int, at uint64, ok bool) {
	_, err := fmt.Sscanf(name, when+" write %d %v", &size, &at)
	return size, at, err == nil
}
