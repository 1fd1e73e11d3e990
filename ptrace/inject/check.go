package inject

import (
	"bytes"
	"fmt"

	"hotpatch/ptrace"
)

// check compares the stopped process with the plan, and looks whether a thread is active. It allocates nothing
// unless it fails.
func (t *transaction) check(s *ptrace.Stopped) error {
	text, err := readFrom(t.maps, t.text[:0])
	if err != nil {
		return err
	}
	if err := t.table.fill(text); err != nil {
		return err
	}
	if t.table.print != t.print || t.table.there != len(t.table.code) {
		return fmt.Errorf("%w: its mappings are not those of the plan", errChanged)
	}
	rest, err := t.plan.snap.loader.atRest(s, &t.word)
	if err != nil {
		return err
	}
	if !rest {
		return fmt.Errorf("%w: its dynamic linker is loading or unloading", errChanged)
	}
	if err := s.ReadVec(t.ranges); err != nil {
		return err
	}
	for i := range t.ranges {
		if have, want := t.ranges[i].Buf, t.wanted[i]; !bytes.Equal(have, want.bytes) {
			return changedSince(want, have)
		}
	}
	if t.active.check(s, &t.table, t.p.PID) {
		return ErrBusy
	}
	t.active.findStaying(s, &t.table, t.p.PID)
	return t.checkStrange()
}

// changedSince refuses bytes that are not what the plan found.
func changedSince(want *expected, have []byte) error {
	off := 0
	for have[off] == want.bytes[off] {
		off++
	}
	end := min(off+8, len(have))
	return refuse(want.name, fmt.Sprintf("offset %#x, at %#x: % x instead of % x", off, uint64(want.addr)+uint64(off), have[off:end], want.bytes[off:end]), "",
		"the bytes to be replaced have changed since the plan was made")
}
