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

// planTransit plans to bring links fully into force, or fully out of it. Their memory is there. Links that belong
// together are given together, oldest first.
func (pl *planner) planTransit(links []placed, forward bool, result string) error {
	if err := pl.transit(links, forward, result); err != nil {
		return err
	}
	pl.measure()
	pl.report.Done = true
	return nil
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
func (pl *planner) transit(links []placed, forward bool, result string) error {
	var seq []write
	first := len(pl.report.Patches)
	for _, p := range links {
		for _, w := range p.l.e.Writes {
			w.room = p.l.e.gate(&w)
			if !forward {
				w.Old, w.New = w.New, w.Old
			}
			if slices.ContainsFunc(links, func(o placed) bool { return w.Addr >= o.l.e.Base && w.Addr < o.l.e.end() }) {
				w.early = forward // in a payload that comes or goes as a whole
				if !forward {
					w.Kind = writeStale
				}
			}
			seq = append(seq, w)
		}
		if forward {
			pl.targets = append(pl.targets, oldTargets(p.v, p.l)...)
		} else {
			pl.targets = append(append(pl.targets, payloadTargets(p.l)...), readerTargets(p.l)...)
		}
		pl.mark(p.l, forward)
		pl.report.Patches = append(pl.report.Patches, p.v.reportMove(p.l, forward, result))
	}
	if !forward {
		slices.Reverse(seq)
		slices.Reverse(pl.report.Patches[first:])
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
