package inject

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// placed is a link and the module that it is in.
type placed struct {
	v *moduleView
	l *link
}

// unfinished returns what earlier transactions left half done, and mappings that they left
// behind before they changed anything.
func (pl *planner) unfinished() (mixed []placed, left []leftover) {
	for _, v := range pl.views {
		for _, l := range v.mixed {
			mixed = append(mixed, placed{v, l})
		}
	}
	for _, j := range pl.snap.journals {
		if j.Hosted || slices.ContainsFunc(j.States, func(s state) bool { return s != staged }) || pl.inForce(j) {
			continue
		}
		for i := range j.Record.Entries {
			if e := &j.Record.Entries[i]; !pl.inherited(j, e) {
				left = append(left, pl.proven(e)...)
			}
		}
		left = append(left, leftover{At: j.At, Size: j.Size})
	}
	for _, d := range pl.snap.damaged {
		if d.Err == errTorn {
			left = append(left, d)
		}
	}
	return mixed, left
}

// inForce reports whether a write of the journal is in force.
func (pl *planner) inForce(j *journal) bool {
	for _, v := range pl.views {
		for _, l := range slices.Concat(v.chain, v.mixed) {
			if l.j == j {
				return true
			}
		}
	}
	return false
}

// inherited reports whether another journal speaks of the payload's memory as well: that of a reverted patch, which
// the transaction of j was going to use again. It stays mapped.
func (pl *planner) inherited(j *journal, e *entry) bool {
	for _, other := range pl.snap.journals {
		if other != j && slices.ContainsFunc(other.Record.Entries, func(o entry) bool { return o.Base == e.Base }) {
			return true
		}
	}
	return false
}

// proven returns the segments of a payload that was staged and never entered, if their content proves that they
// are ours: the process may have mapped something else there since.
func (pl *planner) proven(e *entry) []leftover {
	var out []leftover
	for i := range e.Segs {
		g := &e.Segs[i]
		mp := mappingAt(pl.snap.maps, g.Addr)
		if len(g.Sum) != 32 || mp == nil || mp.Path != "" || mp.Perm != segPerm(g.Kind) || mp.End < g.Addr+arch.Addr(g.Size) {
			return nil
		}
		if have, err := readBytes(pl.snap.mem, g.Addr, int(g.Len)); err != nil || sha256.Sum256(have) != [32]byte(g.Sum) {
			return nil
		}
		out = append(out, leftover{At: g.Addr, Size: pageUp(g.Size)})
	}
	if len(out) > 0 && e.Gates.Size > 0 { // mapped in front of the first write to the payload
		out = append(out, leftover{At: e.Gates.Addr, Size: e.Gates.Size})
	}
	return out
}

// movement is what a transaction does to links whose memory is there: some go out of force, others come into it. Links that belong together are
// given together, oldest first.
type movement struct {
	back, forth             []placed
	backResult, forthResult string // for the report
}

// planTransit plans a movement.
func (pl *planner) planTransit(m movement) error {
	if err := pl.transit(m); err != nil {
		return err
	}
	pl.measure()
	pl.report.Done = true
	return nil
}

// conclusion is the movement that brings a half done transaction to its end, or undoes it.
func conclusion(mixed []placed, finish bool) movement {
	m := movement{backResult: "reverted", forthResult: "finished"}
	if !finish {
		m.backResult = "undone"
	}
	for _, p := range mixed {
		if (p.l.state() == committing) == finish {
			m.forth = append(m.forth, p)
		} else {
			m.back = append(m.back, p)
		}
	}
	return m
}

// concluding decides for the transaction that is half done what the user means who names patches to be brought into force, or out of it: to
// finish it, or to undo it. It is neither if patches of it are not named.
func concluding(mixed []placed, forward bool, named func(patch.ID) bool) (finish, ok bool) {
	comes, goes, all := 0, 0, map[state]bool{committing: true, reverting: true}
	for _, p := range mixed {
		st := p.l.state()
		if st != committing {
			st = reverting
			goes++
		} else {
			comes++
		}
		all[st] = all[st] && named(p.l.file.ID)
	}
	switch {
	case comes > 0 && all[committing]:
		return forward, true
	case goes > 0 && all[reverting]:
		return !forward, true
	}
	return false, false
}

// clearRemnants plans to clear the jumps that patches of a module that was loaded anew have left in payloads, so that these can be used
// again. No way leads there.
func (pl *planner) clearRemnants() error {
	for _, v := range pl.views {
		for i := len(v.remnants) - 1; i >= 0; i-- {
			l := v.remnants[i]
			for k := len(l.e.Writes) - 1; k >= 0; k-- {
				w := l.e.Writes[k]
				if v.has(w.Addr) {
					continue
				}
				have, err := readBytes(pl.snap.mem, w.Addr, len(w.New))
				if err != nil {
					return fmt.Errorf("%s: %w", w.Name, err)
				}
				if bytes.Equal(have, w.New) {
					w.Old, w.New = w.New, w.Old
					pl.writes = append(pl.writes, w)
				}
			}
			pl.targets = append(pl.targets, slices.DeleteFunc(oldTargets(v, l), func(t target) bool { return v.has(t.Addr) })...)
			pl.mark(l, false)
			pl.note("patch %s was in force in %s before that was loaded anew", l.file.ID.Short(), v.m.name())
		}
		v.idle, v.remnants = append(v.idle, v.remnants...), nil
	}
	return nil
}

// transit is planTransit without the report's figures.
func (pl *planner) transit(m movement) error {
	var seq []write
	for i := len(m.back) - 1; i >= 0; i-- {
		p := m.back[i]
		writes := p.l.writes(m.back, false)
		slices.Reverse(writes)
		seq = append(seq, writes...)
		pl.targets = append(append(pl.targets, payloadTargets(p.l)...), readerTargets(p.l)...)
		pl.moves = append(pl.moves, move{p.v, p.l, false})
		pl.mark(p.l, false)
		pl.report.Patches = append(pl.report.Patches, p.v.reportMove(p.l, false, m.backResult))
	}
	for _, p := range m.forth {
		seq = append(seq, p.l.writes(m.forth, true)...)
		pl.targets = append(pl.targets, oldTargets(p.v, p.l)...)
		pl.moves = append(pl.moves, move{p.v, p.l, true})
		pl.mark(p.l, true)
		pl.report.Patches = append(pl.report.Patches, p.v.reportMove(p.l, true, m.forthResult))
	}
	for _, w := range coalesce(seq) {
		have, err := readBytes(pl.snap.mem, w.Addr, len(w.New))
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		if bytes.Equal(have, w.New) {
			continue
		}
		known := slices.ContainsFunc(seq, func(s write) bool { return s.Addr == w.Addr && bytes.Equal(s.Old, have) })
		if !known {
			return refuse(w.Name, fmt.Sprintf("at %#x: % x", uint64(w.Addr), have[:min(len(have), 16)]), "find out what wrote them",
				"the bytes there are neither the build's nor those of a patch")
		}
		w.Old = have
		pl.writes = append(pl.writes, w)
	}
	return nil
}

// writes returns the writes of a link that comes into force, or goes out of it, together with others.
func (l *link) writes(with []placed, forward bool) []write {
	var out []write
	for _, w := range l.e.Writes {
		w.room = l.e.gate(&w)
		if !forward {
			w.Old, w.New = w.New, w.Old
		}
		if slices.ContainsFunc(with, func(o placed) bool { return w.Addr >= o.l.e.Base && w.Addr < o.l.e.end() }) {
			w.early = forward // in a payload that comes or goes as a whole
			if !forward {
				w.Kind = writeStale
			}
		}
		out = append(out, w)
	}
	return out
}

// mark plans the states of a link's entry.
func (pl *planner) mark(l *link, forward bool) {
	during, after := committing, applied
	if !forward {
		during, after = reverting, reverted
	}
	m := pl.markOf(l.j)
	m.during[l.index], m.after[l.index] = during, after
}

// markOf returns the plan's mark of a journal, a new one if there is none. It is good until the next call.
func (pl *plan) markOf(j *journal) *mark {
	for i := range pl.marks {
		if m := &pl.marks[i]; m.j == j {
			return m
		}
	}
	pl.marks = append(pl.marks, mark{j: j, during: slices.Clone(j.States), after: slices.Clone(j.States)})
	return &pl.marks[len(pl.marks)-1]
}

// segPerm is the protection of a payload segment: never writable and executable.
func segPerm(k patch.Kind) ptrace.Perm {
	switch k {
	case patch.Text:
		return ptrace.PermRead | ptrace.PermExec
	case patch.ROData:
		return ptrace.PermRead
	}
	return ptrace.PermRead | ptrace.PermWrite
}

// pageUp rounds up to pages.
func pageUp(n uint64) uint64 { return (n + 0xfff) & pageMask }
