package inject

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch/elfdiff/patch"
)

// Settling
//
// A transaction that ended in the middle is settled by the next one before that plans: each gated place gets the bytes that it
// means, and the journals the states that fit. Each of these writes changes nothing that anybody notices, so that they need no
// gates and no intent of their own; a hotpatch that dies while it settles leaves the same work, less what is done.
//
// The gates are used again afterwards, so that nobody may be in one: they are targets of the check. A thread is in a gate for a few
// instructions only.
//
// What could not be gated and is half done stays so: it is seen as mixed (moduleView.arrange).

// unsettled reports whether text has to be written to settle the transaction.
func (p *pending) unsettled() bool { return p != nil && len(p.overlay(nil).over) > 0 }

// String says what the process runs, for people.
func (p *pending) String() string {
	runs := "it had not come to its commit, and all of what ran before it runs now"
	switch {
	case p.mixed:
		runs = "of what could not be put into force by its one write a part is missing"
	case p.forward:
		runs = "it had made its commit, and all of what it was to bring runs now"
	}
	return fmt.Sprintf("a hotpatch died in the middle of %s: %s; the next apply or revert tidies up", p.j.Record.Intent.Verb, runs)
}

// settled is what an earlier transaction came to when it was settled: which of its patches are in force now, and which are not.
// Of one that is half done neither is known.
type settled struct{ in, out []PatchReport }

// finished reports whether what was settled had brought a patch into force.
func (s *settled) finished(id patch.ID) bool {
	return s != nil && slices.ContainsFunc(s.in, func(r PatchReport) bool { return r.ID == id.String() })
}

// reverted reports whether what was settled is what a revert of the patches that id means would do, and then puts it into the
// report. What a finished replace reverted is no answer to a revert of the newest transaction, which that replace is.
func (s *settled) reverted(r *Report, id string) bool {
	if s == nil || id == "" && len(s.in) > 0 {
		return false
	}
	for _, p := range s.out {
		if strings.HasPrefix(p.ID, id) {
			r.Patches, r.Done, r.Atomic = append(r.Patches, p), true, true
		}
	}
	return len(r.Patches) > 0
}

// planSettle plans to settle the pending transaction.
func (pl *planner) planSettle() {
	p := pl.snap.pending
	pl.settles = p
	it := p.j.Record.Intent
	for i := range it.Writes {
		w := &it.Writes[i]
		if b := p.effective(i); b != nil {
			pl.writes = append(pl.writes, write{Kind: w.Kind, Name: w.Name, Addr: w.Addr, Old: p.raw[i], New: b})
		}
		if len(w.Gate) > 0 {
			pl.targets = append(pl.targets, target{placedRange: w.Code})
		}
	}
	pl.settleMarks(p)
	_, pl.drop = pl.unfinished() // of others, that died before their commit had begun
	pl.measure()
}

// settleMarks plans the states of all journals that the pending transaction marks.
func (pl *planner) settleMarks(p *pending) {
	own := mark{j: p.j, after: slices.Clone(p.j.States)}
	for _, m := range p.j.Record.Intent.Marks {
		s := m.Undone
		if p.forward {
			s = m.After
		}
		k := slices.IndexFunc(pl.snap.journals, func(j *journal) bool { return j.Seq == m.Seq })
		if p.mixed || k < 0 || m.Entry >= len(pl.snap.journals[k].States) {
			continue
		}
		if j := pl.snap.journals[k]; j == p.j {
			own.after[m.Entry] = s
		} else {
			pl.markOf(j).after[m.Entry] = s
		}
	}
	pl.marks = append(pl.marks, own) // last: it ends the phase
}

// settledOf describes what the pending transaction comes to.
func (pl *planner) settledOf(p *pending) *settled {
	s := new(settled)
	if p.mixed {
		return s
	}
	it := p.j.Record.Intent
	for _, v := range pl.views {
		for _, l := range slices.Concat(v.chain, v.idle, v.mixed) {
			k := slices.IndexFunc(it.Marks, func(m intentMark) bool { return m.Seq == l.j.Seq && m.Entry == l.index })
			switch {
			case k < 0:
			case p.forward && it.Marks[k].After == applied:
				s.in = append(s.in, v.reportOf(l, "finished"))
			case p.forward:
				s.out = append(s.out, v.reportMove(l, false, "reverted"))
			case it.Marks[k].Undone == staged:
				s.out = append(s.out, v.reportMove(l, false, "undone"))
			}
		}
	}
	return s
}
