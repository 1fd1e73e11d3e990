package inject

import (
	"fmt"
	"slices"
	"time"

	"hotpatch/elfdiff/patch"
)

// Some refusals concern one process only: what is right in the patch need not be right there. The refusal names an ID by which
// the user can take it upon himself; an apply records that in the journal.

// given reports whether the user gave the word for an ID.
func (pl *planner) given(id string) bool {
	if !slices.Contains(pl.opt.Acks, id) {
		return false
	}
	if !slices.Contains(pl.acked, id) {
		pl.acked = append(pl.acked, id)
	}
	return true
}

// acks lists the words that were asked for and given.
func (pl *planner) acks() []patch.Ack {
	var out []patch.Ack
	pl.given(ackStacks)
	for _, id := range pl.acked {
		out = append(out, patch.Ack{ID: id, User: pl.opt.User, Date: time.Now().UTC().Format(time.RFC3339)})
	}
	return out
}

// needless notes the words that nothing asked for.
func (pl *planner) needless() {
	for _, id := range pl.opt.Acks {
		if id != ackStacks && !slices.Contains(pl.acked, id) { // what asks for that one is seen in the stop
			pl.report.Notes = append(pl.report.Notes, fmt.Sprintf("nothing asked for --ack %s", id))
		}
	}
}
