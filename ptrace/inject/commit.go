package inject

import (
	"bytes"
	"errors"
	"fmt"

	"hotpatch/arch"
	"hotpatch/ptrace"
)

// A change is one step of a commit, with its way back.
type change struct {
	at       arch.Addr
	new, old []byte
	copy     *copyStep // of a variable, instead of bytes: there is nothing to undo, as nobody looks at the copy yet
	point    string    // the fault point behind it
}

// The fault points behind the changes.
const (
	pointBegun  = "committing" // all states say that the transaction has begun
	pointCopied = "copied"     // each moved variable
	pointGated  = "gated"      // each jump to a gate
	pointGo     = "go"
	pointText   = "written" // each other write to text
	pointEnded  = "marked"  // all states say that it has ended
)

// changes returns the steps of the commit in their order:
//
//	the journal says that the transaction has begun
//	moved variables are copied                        nobody looks at the copies
//	early writes                                      to bodies that nothing leads to before go
//	jumps to gates                                    they lead where the old bytes led
//	go                                                the commit
//	what is not gated
//	the new bytes in place of the jumps to gates
//	late writes                                       to bodies that nothing leads to any more
//	the journal says that it has ended
//
// Undone in reverse order, each prefix is fully old or fully new as well.
func (pl *plan) changes() []change {
	switch {
	case pl.settles != nil:
		return pl.settling()
	case pl.journal == nil: // there is only memory to unmap
		return nil
	}
	var out []change
	add := func(at arch.Addr, old, new []byte, point string) {
		out = append(out, change{at: at, old: old, new: new, point: point})
	}
	own := pl.journal
	add(own.At+offPhase, encodeHead(phasePrepared, false, own.States), encodeHead(phaseBegun, false, pl.markOf(own).during), "")
	for _, m := range pl.marks {
		if m.j != own {
			add(m.j.At+offStates, encodeStates(m.j.States), encodeStates(m.during), "")
		}
	}
	out[len(out)-1].point = pointBegun
	for i := range pl.copies {
		out = append(out, change{copy: &pl.copies[i], point: pointCopied})
	}
	it := own.Record.Intent
	each := func(which func(*intentWrite) bool, do func(*intentWrite)) {
		for i := range it.Writes {
			if w := &it.Writes[i]; which(w) {
				do(w)
			}
		}
	}
	plain := func(w *intentWrite) { add(w.Addr, w.Before, w.After, pointText) }
	each(func(w *intentWrite) bool { return w.Early }, plain)
	each((*intentWrite).gated, func(w *intentWrite) { add(w.Addr, w.Before, w.Gate, pointGated) })
	goes := it.commits() == nil
	if goes {
		add(own.At+offGo, []byte{0, 0, 0, 0}, []byte{1, 0, 0, 0}, pointGo)
	}
	each(func(w *intentWrite) bool { return w.decisive() && !w.gated() }, plain)
	each((*intentWrite).gated, func(w *intentWrite) { add(w.Addr, w.Gate, w.After, pointText) })
	each(func(w *intentWrite) bool { return !w.decisive() && !w.Early }, plain)
	for _, m := range pl.marks {
		if m.j != own {
			add(m.j.At+offStates, encodeStates(m.during), encodeStates(m.after), "")
		}
	}
	m := pl.markOf(own)
	add(own.At+offPhase, encodeHead(phaseBegun, goes, m.during), encodeHead(phaseEnded, goes, m.after), pointEnded)
	return out
}

// settling returns the steps of settling an earlier transaction.
func (pl *plan) settling() []change {
	var out []change
	for _, w := range pl.writes {
		out = append(out, change{at: w.Addr, old: w.Old, new: w.New, point: pointText})
	}
	for _, m := range pl.marks {
		if m.j != pl.settles.j {
			out = append(out, change{at: m.j.At + offStates, old: encodeStates(m.j.States), new: encodeStates(m.after)})
			continue
		}
		out = append(out, change{
			at: m.j.At + offPhase, old: encodeHead(phaseBegun, m.j.Go, m.j.States), new: encodeHead(phaseEnded, m.j.Go, m.after), point: pointEnded,
		})
	}
	return out
}

// commit makes the changes. If one fails, those before it are undone.
// Preconditions: every thread is stopped and all checks have passed.
func (t *transaction) commit(s *ptrace.Stopped) error {
	t.changed = true
	for i := range t.changes {
		c := &t.changes[i]
		var err error
		if c.copy != nil {
			err = c.copy.run(s)
		} else {
			err = s.Write(c.at, c.new)
		}
		if err == nil && c.point != "" {
			err = t.at(c.point)
		}
		if errors.Is(err, errKilled) {
			return err
		}
		if err != nil {
			return t.rollback(s, i, err)
		}
	}
	return nil
}

// rollback undoes the changes up to and with number last after that one has failed; it may have been made in part.
func (t *transaction) rollback(s *ptrace.Stopped, last int, cause error) error {
	var errs []error
	for i := last; i >= 0; i-- {
		if c := &t.changes[i]; c.copy == nil {
			errs = append(errs, s.Write(c.at, c.old))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(attention(t.p.PID, "the commit failed in the middle and could not be undone"), cause, err)
	}
	t.changed = false
	return cause
}

// verify reads back what the commit wrote.
func (t *transaction) verify() error {
	for i := range t.plan.writes {
		w := &t.plan.writes[i]
		have, err := readBytes(t.p, w.Addr, len(w.New))
		if err != nil {
			if t.p.Ended() {
				return fmt.Errorf("process %d: ended after the commit: %w", t.p.PID, ptrace.ErrExited)
			}
			return errors.Join(attention(t.p.PID, "%s was changed, and cannot be read back", w.Name), err)
		}
		if !bytes.Equal(have, w.New) {
			return attention(t.p.PID, "%s at %#x reads % x after % x was written", w.Name, uint64(w.Addr), have, w.New)
		}
	}
	return nil
}
