package inject

import (
	"fmt"
	"testing"

	"hotpatch/internal/victim"
)

// TestKilledReusing kills an apply that was going to use a reverted patch's payload again. Whatever
// clears up after it, the payload stays mapped.
func TestKilledReusing(t *testing.T) {
	t.Parallel()
	f := chainPatch(t, 1)
	old := build(t, "chain", 1)
	for _, point := range []string{"journal-written", "borrowed", "staged"} {
		for _, clear := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s-%v", point, clear), func(t *testing.T) {
				t.Parallel()
				v := victim.Start(t, old)
				apply(t, v.PID, f)
				revert(t, v.PID, "")
				killedAt(t, "apply", v.PID, point, 1, f)
				if clear {
					revert(t, v.PID, "")
					ask(t, v, "go", "10 two")
				}
				apply(t, v.PID, f)
				ask(t, v, "go", "112 dos")
				if s, err := Inspect(v.PID, nil); err != nil || len(s.Attention) > 0 {
					t.Errorf("list afterwards: %+v, %v", s, err)
				}
				v.End()
			})
		}
	}
}
