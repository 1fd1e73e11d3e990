package inject

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/elfdiff/patch"
	"hotpatch/ptrace"
)

// errKilled is what a test's fault gives: the transaction ends where it is, and nothing is undone, as if
// hotpatch had died there.
var errKilled = errors.New("killed by a test")

// at calls the test's fault, if there is one.
func (t *transaction) at(point string) error {
	if t.opt.fault == nil {
		return nil
	}
	return t.opt.fault(point)
}

// prepare maps the journal and the payloads, fills them, and touches the pages that the commit will change. Undone
// by unstage.
//
// A borrowed thread of the target makes the system calls, and does nothing else meanwhile: what takes
// time, the writing, is done while all threads run. The journal is complete before a payload is mapped, so that
// there is never one without it.
func (t *transaction) prepare() error {
	if t.plan.journal != nil {
		for _, part := range []func() error{t.stageJournal, t.stagePayloads} {
			if err := part(); err != nil {
				return err
			}
		}
	}
	if err := t.stageGates(); err != nil {
		return err
	}
	if err := t.touch(); err != nil {
		return err
	}
	if t.p.WritesWords() {
		t.plan.inWords()
	}
	return t.at("borrowed")
}

// stageJournal maps and writes the journal. Its header is written last, so that one with a header is complete.
func (t *transaction) stageJournal() error {
	if t.plan.journal.Hosted {
		if err := t.clearHosted(); err != nil {
			return err
		}
	} else if err := t.borrow(t.mapJournal); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := t.at("journal-mapped"); err != nil {
		return err
	}
	j, raw := t.plan.journal, t.plan.raw
	if err := t.p.WriteMem(j.At+journalHeader, raw[journalHeader:]); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := t.at("journal-half"); err != nil {
		return err
	}
	if err := t.p.WriteMem(j.At, raw[:journalHeader]); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return t.at("journal-written")
}

// stagePayloads maps the payloads, in one borrowing, and writes them.
func (t *transaction) stagePayloads() error {
	var fresh []*step
	for _, s := range t.plan.steps {
		if !s.reused {
			fresh = append(fresh, s)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	err := t.borrow(func(r *ptrace.Remote) error {
		for _, s := range fresh {
			if err := t.mapPayload(r, s.link.e); err != nil {
				return fmt.Errorf("payload of patch %s: %w", s.link.file.ID.Short(), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range fresh {
		if err := t.writePayload(s.payload); err != nil {
			return fmt.Errorf("payload of patch %s: %w", s.link.file.ID.Short(), err)
		}
	}
	return nil
}

func (t *transaction) writePayload(p *patch.Payload) error {
	for i := range p.Segments {
		g := &p.Segments[i]
		if len(g.Data) == 0 {
			continue
		}
		if err := t.p.WriteMem(g.Addr, g.Data); err != nil {
			return err
		}
		if err := t.at("payload-written"); err != nil {
			return err
		}
	}
	return nil
}

// mapJournal maps memory for the journal: of a memfd, whose name is then seen in /proc/PID/maps, or
// anonymous if the process may not have one (no descriptor free, an old kernel, a filter).
func (t *transaction) mapJournal(r *ptrace.Remote) error {
	j := t.plan.journal
	const fixed = unix.MAP_PRIVATE | unix.MAP_FIXED_NOREPLACE
	fd, err := r.MemfdCreate(unix.MFD_CLOEXEC)
	if err == nil {
		if err = r.Ftruncate(fd, j.Size); err == nil {
			err = t.mmap(r, j.At, j.Size, unix.PROT_READ, fixed, fd)
		}
		if cerr := r.CloseFD(fd); cerr != nil {
			return errors.Join(err, cerr)
		}
	}
	if err != nil {
		var call *ptrace.CallError
		if !errors.As(err, &call) && !errors.Is(err, ptrace.ErrFiltered) {
			return errors.Join(err, t.closeAbandoned(r))
		}
		t.log.Info("no memfd for the journal, using anonymous memory", "cause", err)
		j.Anon = true
		err = t.mmap(r, j.At, j.Size, unix.PROT_READ, fixed|unix.MAP_ANONYMOUS, -1)
	}
	return taken(err, j.At)
}

// mmap maps memory in the target, and notes it for unstage.
func (t *transaction) mmap(r *ptrace.Remote, at arch.Addr, size uint64, prot, flags, fd int) error {
	_, err := r.Mmap(at, size, prot, flags, fd, 0)
	if err == nil {
		t.mapped = append(t.mapped, leftover{At: at, Size: size})
	}
	t.unsure = t.unsure || errors.Is(err, ptrace.ErrUnsure)
	return err
}

// mapPayload maps the segments of a payload and the memory for its gates. Text is mapped readable and executable at once; it is written from
// outside.
func (t *transaction) mapPayload(r *ptrace.Remote, e *entry) error {
	for _, g := range append(slices.Clone(e.Segs), segRecord{Kind: patch.Text, Addr: e.Gates.Addr, Size: e.Gates.Size}) {
		if g.Size == 0 {
			continue
		}
		size := pageUp(g.Size)
		err := t.mmap(r, g.Addr, size, protOf(g.Kind), unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE, -1)
		if err != nil {
			return taken(err, g.Addr)
		}
		if err := t.at("payload-mapped"); err != nil {
			return err
		}
	}
	return nil
}

// taken turns the refusal of an address that was free when the plan was made into errChanged.
func taken(err error, at arch.Addr) error {
	if errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("%w: %#x is taken now", errChanged, uint64(at))
	}
	return err
}

func protOf(k patch.Kind) int {
	switch k {
	case patch.Text:
		return unix.PROT_READ | unix.PROT_EXEC
	case patch.ROData:
		return unix.PROT_READ
	}
	return unix.PROT_READ | unix.PROT_WRITE
}

// unstage undoes stage. It must not be called once a text byte has changed. Where it is not known what has been mapped, everything
// stays: the next transaction finds it by the journal, and unmaps what is proven to be ours.
func (t *transaction) unstage() error {
	here := errors.Join(t.unstageGates(), t.clearHosted())
	switch {
	case t.unsure && !t.p.Ended():
		return errors.Join(here, errors.New("whether a call that maps memory was made is not known"))
	case len(t.mapped) == 0:
		return here
	}
	err := errors.Join(here, t.borrow(t.unmap))
	if errors.Is(err, ptrace.ErrExited) || errors.Is(err, ptrace.ErrExec) || errors.Is(err, ptrace.ErrGone) {
		return nil // the memory went with the process
	}
	return err
}

// unmap unmaps what stage has mapped, last first: the journal goes last.
func (t *transaction) unmap(r *ptrace.Remote) error {
	var errs []error
	for i := len(t.mapped) - 1; i >= 0; i-- {
		if err := r.Munmap(t.mapped[i].At, t.mapped[i].Size); err != nil {
			errs = append(errs, err)
		}
	}
	t.mapped = nil
	return errors.Join(errs...)
}

// drop unmaps what the plan found to be of no more use.
func (t *transaction) drop() error {
	if len(t.plan.drop) == 0 {
		return nil
	}
	return t.borrow(func(r *ptrace.Remote) error {
		var errs []error
		for _, d := range t.plan.drop {
			errs = append(errs, r.Munmap(d.At, d.Size))
		}
		return errors.Join(errs...)
	})
}

// touch writes a byte of every page that the commit will change over itself, so that the kernel has made the
// process's own copies before the stop. Nobody else writes there: text and constants are read-only, new places of variables not in use.
func (t *transaction) touch() error {
	pages := make(map[uint64]arch.Addr)
	for _, w := range t.plan.writes {
		for a := uint64(w.Addr) & pageMask; a < uint64(w.Addr)+uint64(len(w.New)); a += 0x1000 {
			pages[a] = max(w.Addr, arch.Addr(a))
		}
	}
	for i := range t.plan.copies {
		c := &t.plan.copies[i]
		for a := uint64(c.to) & pageMask; c.fresh && a < uint64(c.to)+uint64(len(c.buf)); a += 0x1000 {
			pages[a] = max(c.to, arch.Addr(a))
		}
	}
	var b [1]byte
	for _, at := range pages {
		if err := t.p.ReadMem(b[:], at); err != nil {
			return err
		}
		if err := t.p.WriteMem(at, b[:]); err != nil {
			return fmt.Errorf("text at %#x cannot be written: %w", uint64(at), err)
		}
	}
	return nil
}

// checkStaged reads payloads and gates back.
func (t *transaction) checkStaged() error {
	for _, s := range t.plan.steps {
		if s.reused {
			continue
		}
		for i := range s.payload.Segments {
			g := &s.payload.Segments[i]
			have, err := readBytes(t.p, g.Addr, len(g.Data))
			if err != nil {
				return err
			}
			if !bytes.Equal(have, g.Data) {
				return fmt.Errorf("payload at %#x was not written as planned", uint64(g.Addr))
			}
		}
	}
	for _, g := range t.plan.gated {
		have, err := readBytes(t.p, g.gate.Addr, len(g.gate.Code))
		if err != nil {
			return err
		}
		if !bytes.Equal(have, g.gate.Code) {
			return fmt.Errorf("the gate of %s at %#x was not written as planned", g.w.Name, uint64(g.gate.Addr))
		}
	}
	return nil
}
