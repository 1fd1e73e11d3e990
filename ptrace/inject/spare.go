package inject

import (
	"errors"
	"fmt"
	"slices"
)

// Spare room
//
// A revert changes text and so needs an intent in the target, but it must not depend on memory that the process may no longer
// map, or on system calls that it may no longer make. So each apply maps its journal with spare room behind it, in which the
// journal of a later transaction without patches has its place. Only if that is too large for any of them, as when many patches
// are taken back in one stop, it gets a mapping of its own.
//
// What an earlier transaction left in spare room is of no interest once it has ended, and is written over.

// spareFor returns how much spare room the journal of an apply is given, in bytes: as much as the journal of what takes it back
// needs.
func spareFor(it *intent) uint64 {
	const fixed = 2048 // of a journal without entries; user and time
	n := journalHeader + fixed + 128*len(it.Marks)
	for i := range it.Writes {
		w := &it.Writes[i]
		n += 384 + 2*len(w.Name) + 4*len(w.Before) + 16 // the name twice, the bytes three times in base64
	}
	return pageUp(uint64(n))
}

// spare returns a journal in whose spare room n bytes have their place, nil if there is none.
func (pl *planner) spare(n int) *journal {
	for _, j := range pl.snap.journals {
		dropped := slices.ContainsFunc(pl.drop, func(d leftover) bool { return d.At == j.At })
		if !j.Hosted && !dropped && uint64(n) <= j.Record.Spare && j.Size >= pageUp(j.Len)+j.Record.Spare {
			return j
		}
	}
	return nil
}

// readHosted reads the journal in the spare room of another, of at most limit bytes. It returns nil if none has been written there.
func (s *snapshot) readHosted(host *journal, limit uint64) (*journal, error) {
	at := host.spareAt()
	if host.Record.Spare < journalHeader || host.Size < pageUp(host.Len)+host.Record.Spare {
		return nil, nil
	}
	head, err := readBytes(s.mem, at, journalHeader)
	if err != nil {
		return nil, err
	}
	n, err := journalLen(head)
	if errors.Is(err, errTorn) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if n > host.Record.Spare || n > limit {
		return nil, fmt.Errorf("journal: %#x bytes in room for %#x, of which %#x may be read", n, host.Record.Spare, limit)
	}
	b, err := readBytes(s.mem, at, int(n))
	if err != nil {
		return nil, err
	}
	j, err := decodeJournal(b)
	if err != nil {
		return nil, err
	}
	if len(j.States) > 0 {
		return nil, fmt.Errorf("journal: %d entries in the spare room of another", len(j.States))
	}
	j.At, j.Size, j.Len, j.Hosted = at, host.Record.Spare, n, true
	return j, nil
}

// clearHosted takes the plan's journal out of the spare room, its header first.
func (t *transaction) clearHosted() error {
	if j := t.plan.journal; j == nil || !j.Hosted {
		return nil
	}
	at := t.plan.journal.At
	for _, part := range []int{journalHeader, len(t.plan.raw)} {
		if err := t.p.WriteMem(at, make([]byte, part)); err != nil && !t.p.Ended() {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}
