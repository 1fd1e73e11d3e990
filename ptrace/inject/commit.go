package inject

import (
	"bytes"
	"errors"
	"fmt"

	"hotpatch/ptrace"
)

// commit writes the states, copies moved variables, and writes the text and the states again. If a write fails, those before it are undone.
// Preconditions: every thread is stopped and all checks have passed.
func (t *transaction) commit(s *ptrace.Stopped) error {
	t.changed = true
	done := 0
	err := t.writeStates(s, func(w *stateWrite) []byte { return w.during })
	if err == nil {
		err = t.at("committing")
	}
	for i := 0; err == nil && i < len(t.plan.copies); i++ {
		if err = t.plan.copies[i].run(s); err == nil {
			err = t.at("copied")
		}
	}
	for ; err == nil && done < len(t.plan.writes); done++ {
		w := &t.plan.writes[done]
		if err = s.Write(w.Addr, w.New); err != nil {
			break
		}
		if err = t.at(writePoint); err != nil {
			break
		}
	}
	if err == nil {
		err = t.writeStates(s, func(w *stateWrite) []byte { return w.after })
	}
	if err == nil {
		err = t.at("marked")
	}
	if err == nil || errors.Is(err, errKilled) {
		return err
	}
	return t.rollback(s, done, err)
}

// writePoint is the fault point behind each write of the commit.
const writePoint = "written"

func (t *transaction) writeStates(s *ptrace.Stopped, which func(*stateWrite) []byte) error {
	for i := range t.states {
		if err := s.Write(t.states[i].at, which(&t.states[i])); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}

// rollback undoes the writes up to and with number last after one has failed; a write may have been made in part.
func (t *transaction) rollback(s *ptrace.Stopped, last int, cause error) error {
	var errs []error
	for i := min(last, len(t.plan.writes)-1); i >= 0; i-- {
		errs = append(errs, s.Write(t.plan.writes[i].Addr, t.plan.writes[i].Old))
	}
	errs = append(errs, t.writeStates(s, func(w *stateWrite) []byte { return w.before }))
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
			return err
		}
		if !bytes.Equal(have, w.New) {
			return attention(t.p.PID, "%s at %#x reads % x after % x was written", w.Name, uint64(w.Addr), have, w.New)
		}
	}
	return nil
}
