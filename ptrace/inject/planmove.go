package inject

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// Moved variables
//
// A variable that grew has a new place in the payload. Its value goes there in the stop of the apply, and back in that of the
// revert, both times in front of the first jump: until then nobody looks at the copy, so that a death of hotpatch, or a commit that
// fails, leaves nothing to undo. What a dead hotpatch left half done has both places in use; then nothing is copied, because neither
// is the newer one, and the report names the variable if they differ.

// A copyStep is one variable's way from one place to the other.
type copyStep struct {
	name     string
	from, to arch.Addr
	keep     int    // bytes that come from from
	buf      []byte // what is written: keep bytes, then the new place's initial content (nothing on the way back)
	fresh    bool   // nobody uses the new place yet
}

// run copies. Preconditions: every thread is stopped.
func (c *copyStep) run(s *ptrace.Stopped) error {
	if err := s.Read(c.buf[:c.keep], c.from); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if err := s.Write(c.to, c.buf); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// A moveRecord is a moved variable in the journal.
type moveRecord struct {
	Name string    `json:"name"`
	Old  arch.Addr `json:"old"`
	New  arch.Addr `json:"new"`
	Keep uint64    `json:"keep"` // bytes that both places have
	Size uint64    `json:"size"` // bytes of the new place
	Rest []byte    `json:"rest"` // SHA-256 of the initial content behind the first Keep bytes
}

// moves plans the variables that get a new place.
func (b *bodyPlan) moves() error {
	f, e := b.s.link.file, b.s.link.e
	for i := range f.Moves {
		m := &f.Moves[i]
		from, err := b.s.view.locate(m.Old, m.Size)
		if err != nil {
			return fmt.Errorf("variable %s: %w", m.Name, err)
		}
		if err := b.preempted(m.Name, from); err != nil {
			return err
		}
		if mp := mappingAt(b.pl.snap.maps, from); !b.pl.future(from) && (mp == nil || mp.Perm&ptrace.PermWrite == 0 || mp.End < from+arch.Addr(m.Size)) {
			return refuse(m.Name, fmt.Sprintf("%#x", uint64(from)), "find out what protected it", "a variable that has to be moved is not in writable memory")
		}
		sym := &f.Symbols[m.New]
		buf := make([]byte, sym.Size)
		copy(buf, b.s.payload.Section(f.Patch, sym.Section)) // nil for zeros
		to, rest := b.s.payload.SymAddr[m.New], sha256.Sum256(buf[m.Keep:])
		e.Moves = append(e.Moves, moveRecord{Name: m.Name, Old: from, New: to, Keep: m.Keep, Size: sym.Size, Rest: rest[:]})
		b.pl.copies = append(b.pl.copies, copyStep{name: m.Name, from: from, to: to, keep: int(m.Keep), buf: buf, fresh: true})
	}
	return nil
}

// moveBack plans the way back of the variables that links moved; the newest link's go first. A variable whose new place holds something
// that the old one has no room for cannot go back.
func (pl *planner) moveBack(links []placed) error {
	for i := len(links) - 1; i >= 0; i-- {
		for k := range links[i].l.e.Moves {
			m := &links[i].l.e.Moves[k]
			if err := pl.restUnused(links[i].l.file, m); err != nil {
				return err
			}
			pl.copies = append(pl.copies, copyStep{name: m.Name, from: m.New, to: m.Old, keep: int(m.Keep), buf: make([]byte, m.Keep)})
		}
	}
	return nil
}

// restUnused refuses a variable of which more than the old place has room for is in use, and has the stop look again.
func (pl *planner) restUnused(f *patch.File, m *moveRecord) error {
	if m.Size == m.Keep {
		return nil
	}
	at := m.New + arch.Addr(m.Keep)
	for _, c := range pl.copies { // what a newer patch will have copied here by then is where that one has it
		if at >= c.to && uint64(at-c.to) < uint64(c.keep) {
			at = c.from + (at - c.to)
		}
	}
	rest, err := readBytes(pl.snap.mem, at, int(m.Size-m.Keep))
	if err != nil {
		return fmt.Errorf("variable %s: %w", m.Name, err)
	}
	id := "rest:" + m.Name
	if sum := sha256.Sum256(rest); bytes.Equal(sum[:], m.Rest) {
		pl.bodies = append(pl.bodies, expected{m.Name + ", behind the end that it had", at, rest})
		return nil
	}
	if pl.given(id) {
		pl.report.Notes = append(pl.report.Notes, fmt.Sprintf("what %s held behind its first %d bytes is gone", m.Name, m.Keep))
		return nil
	}
	return refuse(m.Name, fmt.Sprintf("something else than at the start in the %d bytes behind the first %d", m.Size-m.Keep, m.Keep),
		fmt.Sprintf("--ack %s, if the old code can do without it: an element of an array that others count is lost, a member that it does not know is not missed", id),
		"patch %s made the variable larger, and there is no room for what it holds in its old place", f.ID.Short())
}

// planConclusion plans to finish what is half done, or to undo it.
func (pl *planner) planConclusion(mixed []placed, finish bool) error {
	m := conclusion(mixed, finish)
	pl.moveNotes(m.back, "old")
	pl.moveNotes(m.forth, "new")
	return pl.planTransit(m)
}

// moveNotes names the variables of half-done links whose two places differ.
func (pl *planner) moveNotes(links []placed, stays string) {
	for _, p := range links {
		for i := range p.l.e.Moves {
			m := &p.l.e.Moves[i]
			was, err1 := readBytes(pl.snap.mem, m.Old, int(m.Keep))
			is, err2 := readBytes(pl.snap.mem, m.New, int(m.Keep))
			if err1 == nil && err2 == nil && !bytes.Equal(was, is) {
				pl.report.Notes = append(pl.report.Notes, fmt.Sprintf(
					"%s was in use at two places while the patch was half done, and they differ: what the %s one holds stays in force", m.Name, stays))
			}
		}
	}
}

// check checks a record that was found in a process.
func (m *moveRecord) check(e *entry) error {
	if m.Keep == 0 || m.Keep > m.Size || m.Size > e.Size || m.New < e.Base || m.New-e.Base > arch.Addr(e.Size-m.Size) ||
		m.Old+arch.Addr(m.Keep) < m.Old || len(m.Rest) != sha256.Size {
		return fmt.Errorf("%s: moved from %#x to %#x, %#x of %#x bytes", m.Name, uint64(m.Old), uint64(m.New), m.Keep, m.Size)
	}
	return nil
}
