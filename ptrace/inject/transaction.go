package inject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"hotpatch/arch"
	"hotpatch/ptrace"
	"hotpatch/ptrace/unwind"
)

// transaction carries out a plan in one process.
type transaction struct {
	p      *ptrace.Process
	plan   *plan
	opt    *Options
	log    *slog.Logger
	clock  *clock
	mapped []leftover // what stage has mapped so far
	spaces <-chan []unwind.Module
	end    time.Time // until when a busy function is waited for

	// Made before the stop, so that nothing is allocated in it.
	maps    *os.File // /proc/PID/maps
	text    []byte   // its content
	table   spanTable
	print   uint64         // of the maps that the plan saw
	ranges  []ptrace.Range // of the bytes that are about to be replaced, and of the whole old bodies
	wanted  []*expected    // what the plan found there
	states  []stateWrite
	active  *activeness
	word    [8]byte
	changed bool // text bytes have changed
}

// stateWrite is a mark as bytes.
type stateWrite struct {
	at                    arch.Addr
	before, during, after []byte
}

// run carries the plan out: stage, stop, check, commit, resume, verify. If it fails before
// the commit, everything is undone.
func (t *transaction) run(ctx context.Context) error {
	t.opt.progress("staging")
	err := t.prepare()
	t.plan.report.Staging = t.p.LongestBorrow()
	if err == nil {
		err = t.at("staged")
	}
	if err == nil {
		err = t.checkStaged()
	}
	if err == nil {
		err = t.ready()
	}
	t.clock.lap("stage")
	if err == nil {
		t.opt.progress("stopping")
		err = t.attempts(ctx)
		t.clock.lap("commit")
	}
	if errors.Is(err, errKilled) {
		return err
	}
	if err != nil && !t.changed {
		return errors.Join(err, t.unstage())
	}
	if err != nil {
		return err
	}
	err = t.verify()
	t.clock.lap("verify")
	if err != nil {
		return err
	}
	if err := t.drop(); err != nil {
		t.log.Warn("memory of an earlier transaction could not be unmapped", "err", err)
		t.plan.report.Notes = append(t.plan.report.Notes, fmt.Sprintf("memory of an earlier transaction stays mapped: %v", err))
	}
	return nil
}

// slack is how many more writable mappings than now a stop has room for.
const slack = 4096

// ready makes everything that the stop needs.
func (t *transaction) ready() error {
	for i := range t.plan.writes {
		w := &t.plan.writes[i]
		t.expect(&expected{w.Name, w.Addr, w.Old})
	}
	for i := range t.plan.bodies {
		t.expect(&t.plan.bodies[i])
	}
	for _, m := range t.plan.marks {
		t.states = append(t.states, stateWrite{
			at: m.j.At + offStates, before: encodeStates(m.j.States), during: encodeStates(m.during), after: encodeStates(m.after),
		})
	}
	text, err := readFrom(t.maps, t.text[:0])
	if err != nil {
		return err
	}
	t.text = make([]byte, 2*len(text)+1<<16)
	t.table.spans = make([]span, 0, bytes.Count(text, []byte{'\n'})+slack)
	modules := <-t.spaces
	t.spaces = nil
	if t.active, err = newActiveness(t.plan, t.p.PID, modules, t.opt, t.log); err != nil {
		return err
	}
	t.table.code = namelessCode(t.plan.snap.maps, t.active.space.Modules)
	return nil
}

// expect makes the stop compare bytes.
func (t *transaction) expect(e *expected) {
	t.ranges = append(t.ranges, ptrace.Range{Addr: e.addr, Buf: make([]byte, len(e.bytes))})
	t.wanted = append(t.wanted, e)
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

// namelessCode returns the executable mappings of modules that /proc/PID/maps shows without a name: payloads, and text
// that was moved to anonymous memory (huge pages).
func namelessCode(maps []ptrace.Mapping, modules []unwind.Module) []span {
	var out []span
	for i := range maps {
		mp := &maps[i]
		if mp.Path != "" || mp.Perm != ptrace.PermRead|ptrace.PermExec {
			continue
		}
		if slices.ContainsFunc(modules, func(m unwind.Module) bool { return mp.Start >= m.Start && mp.Start < m.End }) {
			out = append(out, span{mp.Start, mp.End})
		}
	}
	return out
}

// readFrom reads all of f from its start, appending to buf. It allocates only where buf is too small.
func readFrom(f *os.File, buf []byte) ([]byte, error) {
	off := int64(0)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, 1<<16)...)[:len(buf)]
		}
		n, err := f.ReadAt(buf[len(buf):cap(buf)], off)
		buf, off = buf[:len(buf)+n], off+int64(n)
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// attempts stops the process until the commit succeeds, the functions stay busy until the
// deadline, or something else is wrong.
func (t *transaction) attempts(ctx context.Context) error {
	r := t.plan.report
	for nap := firstNap; ; nap = min(2*nap, longNap) {
		if err := ctx.Err(); err != nil {
			return err
		}
		stats, err := t.p.Stop(ptrace.StopOptions{MaxPause: t.opt.MaxPause}, t.inStop)
		r.Tries++
		r.Pause, r.Threads = stats.Pause, stats.Threads
		if !errors.Is(err, ErrBusy) || t.changed {
			return err
		}
		busy := t.active.describe(t.p.PID)
		left := time.Until(t.end)
		if left <= 0 {
			return busy
		}
		t.log.Debug("busy", "err", busy)
		t.opt.progress(busy.Error())
		if err := t.pause(ctx, max(nap, runShare*stats.Pause), left); err != nil {
			return errors.Join(err, busy)
		}
	}
}

// inStop checks and commits. Preconditions: every thread is stopped.
func (t *transaction) inStop(s *ptrace.Stopped) error {
	if err := t.check(s); err != nil {
		return err
	}
	if s.Over() {
		return fmt.Errorf("process %d: %w before the commit", t.p.PID, ptrace.ErrPause)
	}
	return t.commit(s)
}

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
	return nil
}

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
