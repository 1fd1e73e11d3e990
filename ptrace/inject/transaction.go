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
	unsure bool       // stage may have mapped more
	spaces <-chan []unwind.Module
	end    time.Time // until when a busy function is waited for
	before *settled  // what this command has settled; nil: there was nothing

	filtered bool // every thread has seccomp filters
	suspend  bool // those of a borrowed thread may be suspended
	noted    bool // that they were

	// Made before the stop, so that nothing is allocated in it.
	maps    *os.File // /proc/PID/maps
	text    []byte   // its content
	table   spanTable
	print   uint64         // of the maps that the plan saw
	ranges  []ptrace.Range // of the bytes that are about to be replaced, and of the whole old bodies
	wanted  []*expected    // what the plan found there
	changes []change       // the commit
	active  *activeness
	wait    *waiting
	word    [8]byte
	stopped stopTimes // the last stop
	changed bool      // text bytes have changed
}

// run carries the plan out: stage, stop, check, commit, resume, verify. If it fails before
// the commit, everything is undone.
func (t *transaction) run(ctx context.Context) error {
	t.opt.progress("staging")
	err := t.prepare()
	if err == nil {
		err = t.soonEnough()
	}
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
		t.proven()
	}
	if errors.Is(err, errKilled) {
		return err
	}
	if err != nil && !t.changed {
		mapped := len(t.mapped) > 0 || t.unsure
		left := t.unstage()
		if left != nil && mapped {
			left = attention(t.p.PID, "its code is as it was, but memory that was mapped in it stays: %v; the next apply or revert unmaps it", left)
		}
		return errors.Join(err, left)
	}
	if err != nil {
		return err
	}
	err = t.verify()
	t.clock.lap("verify")
	if err != nil {
		return err
	}
	if err := errors.Join(t.clearHosted(), t.drop()); err != nil { // what was asked for is done
		t.log.Warn("memory of an earlier transaction could not be cleared", "err", err)
		t.plan.report.Notes = append(t.plan.report.Notes, fmt.Sprintf("memory of an earlier transaction is not cleared: %v", err))
	}
	if err := t.soonEnough(); err != nil {
		t.plan.report.Notes = append(t.plan.report.Notes, fmt.Sprintf("when what was left was unmapped: %v", err))
	}
	return nil
}

// soonEnough reports whether one thread was kept from its own work for longer than any may be, by the system calls that it made for us.
func (t *transaction) soonEnough() error {
	took := t.p.LongestBorrow()
	t.plan.report.Staging = took
	if t.opt.MaxPause == 0 || took <= t.opt.MaxPause {
		return nil
	}
	return fmt.Errorf("process %d: %w: mapping memory kept one thread from its own work for %v, of at most %v", t.p.PID, ptrace.ErrPause,
		took.Round(time.Microsecond), t.opt.MaxPause)
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
	t.changes = t.plan.changes()
	text, err := readFrom(t.maps, t.text[:0])
	if err != nil {
		return err
	}
	t.text = make([]byte, 2*len(text)+1<<16)
	t.table.spans = make([]span, 0, bytes.Count(text, []byte{'\n'})+slack)
	modules := <-t.spaces
	t.spaces = nil
	if t.active, err = newActiveness(t.plan, t.p, modules, t.opt, t.log); err != nil {
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
