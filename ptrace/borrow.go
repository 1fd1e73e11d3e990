package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// BorrowOptions say which threads may be borrowed.
type BorrowOptions struct {
	TID int // this thread and no other; 0: the one that is best borrowed

	// SuspendFilters also takes a thread whose seccomp filters do not allow the calls, if there is no other, and
	// suspends them for as long as it is borrowed. If this process dies meanwhile, they hold again, and
	// may kill the thread or the process.
	SuspendFilters bool
}

// Borrow stops one thread, lets fn make system calls in it, and puts it back exactly as it was. The
// others run on. One with a seccomp filter is taken only if there is none without, and makes only calls that
// its filters allow. fn runs on the tracer's OS thread and must not call methods of the Process that trace.
//
// If this process dies in between, at whatever instant, the thread ends the call that it is in and goes on by
// itself; see "Borrowing" in the package comment. Two tracers must not borrow from one process at a
// time: Seize first, which only one of them can.
func (p *Process) Borrow(fn func(r *Remote) error) error {
	return p.BorrowWith(BorrowOptions{}, fn)
}

// BorrowWith is Borrow with options.
func (p *Process) BorrowWith(opts BorrowOptions, fn func(r *Remote) error) error {
	return p.do("borrow", func(tr *tracer) error {
		alone := !tr.seized
		if err := tr.attach("borrow"); err != nil {
			return err
		}
		err := tr.borrow(opts, alone, fn)
		if alone { // only the borrowed thread was made a tracee
			tr.detachAll()
		}
		return err
	})
}

// borrow is BorrowWith on the tracer's thread. keep leaves the thread in its stop, to be detached
// from there, which puts suspended filters in force again. Preconditions: attached.
func (tr *tracer) borrow(opts BorrowOptions, keep bool, fn func(r *Remote) error) error {
	if err := tr.findPlaces(); err != nil {
		return err
	}
	t, err := tr.choose(opts)
	if err != nil {
		return err
	}
	start := time.Now()
	defer func() { tr.p.borrowed.Store(max(tr.p.borrowed.Load(), int64(time.Since(start)))) }()
	if err := tr.openMem(); err != nil {
		tr.giveBack(t)
		return err
	}
	pl, _ := tr.placeFor(t.regs.PC()) // choose saw that there is one
	r := &Remote{tr: tr, t: t, saved: t.regs, place: pl}
	defer func() { t.filters = nil }()
	returned := false
	defer func() {
		if !returned { // fn panics
			r.end()
			tr.giveBack(t)
		}
	}()
	err = fn(r)
	returned = true
	err = also(err, r.end())
	if !keep {
		tr.giveBack(t)
	}
	return err
}

// giveBack resumes a borrowed thread.
func (tr *tracer) giveBack(t *tracee) {
	if tr.byTID[t.tid] == t && t.stopped {
		if err := tr.holdFilters(t); err != nil {
			tr.p.log.Warn("filters stay suspended until the thread is let go", "tid", t.tid, "err", err)
		}
		tr.resume(t)
	}
	tr.mourn()
}

// holdFilters puts suspended filters of a stopped thread in force again.
func (tr *tracer) holdFilters(t *tracee) error {
	if !t.suspended || tr.byTID[t.tid] != t || !t.stopped {
		return nil
	}
	t.suspended = false
	return suspendFilters(t.tid, false)
}

// A way is how a thread is dealt with that has seccomp filters.
type way int

const (
	unfiltered way = iota // it is not taken
	allowed               // it is taken if they allow the calls
	suspended             // they are suspended
)

// candidate is a thread that may be borrowed, and how gladly.
type candidate struct{ tid, rank int }

// refusal says why a thread is not borrowed. The zero value is none.
type refusal struct {
	why    string
	filter bool // only its seccomp filters are in the way
}

// choose stops the thread that is best borrowed and returns it.
func (tr *tracer) choose(opts BorrowOptions) (*tracee, error) {
	most := allowed
	if opts.SuspendFilters {
		most = suspended
	}
	var refused []string
	filtered := false // at least one thread could be borrowed but for its filters
	for round := 0; round < 3 && !filtered; round++ {
		cands, err := tr.candidates(opts.TID)
		if err != nil {
			return nil, err
		}
		for how := unfiltered; how <= most; how++ {
			refused = refused[:0]
			for _, c := range cands {
				t, no, err := tr.tryBorrow(c.tid, how, round)
				if err != nil {
					return nil, err
				}
				if no.why == "" {
					return t, nil
				}
				filtered = no.filter || filtered && how < most
				refused = append(refused, fmt.Sprintf("%d: %s", c.tid, no.why))
			}
		}
		if err := tr.usable("borrow"); err != nil {
			return nil, err
		}
		if tr.p.exiting() {
			return nil, tr.p.fail("borrow", 0, ErrExited, "it is exiting", nil)
		}
	}
	return nil, tr.p.noThread(refused, filtered)
}

// noThread makes the error for threads that were all refused.
func (p *Process) noThread(refused []string, filtered bool) *Error {
	const show = 8
	if more := len(refused) - show; more > 0 {
		refused = append(refused[:show], fmt.Sprintf("%d more", more))
	}
	e := p.fail("borrow", 0, ErrNoThread, strings.Join(refused, ", "), nil)
	e.Help = "try again later"
	if filtered {
		e.Kind, e.Help = ErrFiltered, "allow its filters to be suspended"
	}
	return e
}

// candidates ranks the threads (or only one) by what they do, without stopping them.
func (tr *tracer) candidates(only int) ([]candidate, error) {
	tids, err := tr.p.tids()
	if err != nil {
		return nil, tr.p.readError("borrow", err)
	}
	var out []candidate
	for _, tid := range tids {
		if only != 0 && tid != only {
			continue
		}
		if in, err := tr.p.syscallInfo(tid); err == nil {
			out = append(out, candidate{tid, restartRank(&in)})
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return a.rank - b.rank })
	return out, nil
}

// borrowPatience is how long one thread may take to stop before another is tried, in the first
// round; later rounds allow more.
const borrowPatience = 20 * time.Millisecond

// tryBorrow stops a thread and examines it. A thread that is refused runs again.
func (tr *tracer) tryBorrow(tid int, how way, round int) (*tracee, refusal, error) {
	filtered := tr.p.filtered(tid)
	if filtered && how == unfiltered {
		return nil, refusal{why: "has a seccomp filter", filter: true}, nil
	}
	t := tr.byTID[tid]
	if t == nil {
		var err error
		if t, err = tr.seizeOne(tid); err != nil {
			return nil, refusal{}, err
		}
		if t != nil {
			tr.add(t)
		}
	}
	switch {
	case t == nil || t.zombie:
		return nil, refusal{why: "has ended"}, nil
	case t.worker:
		return nil, refusal{why: "runs no user code"}, nil
	}
	err := tr.park(t, borrowPatience<<(2*round))
	var e *Error
	switch {
	case errors.As(err, &e) && e.Kind == ErrTimeout:
		return nil, refusal{why: e.Why}, nil
	case err != nil:
		return nil, refusal{}, err
	case tr.byTID[tid] != t || t.zombie:
		return nil, refusal{why: "has ended"}, nil
	}
	if err := tr.keepRestart(t); err != nil {
		tr.giveBack(t)
		return nil, refusal{why: fmt.Sprintf("does not stop in its call again: %v", err)}, tr.usable("borrow")
	}
	if tr.byTID[tid] != t || t.zombie {
		return nil, refusal{why: "has ended"}, nil
	}
	no := refusal{why: tr.unfit(t)}
	if no.why == "" && filtered {
		no = tr.passFilters(t, how)
	}
	if no.why != "" {
		tr.resume(t)
	}
	return t, no, nil
}

// park brings a running thread into a stop by PTRACE_INTERRUPT; other stops on the way are answered. From
// such a stop the kernel restarts an interrupted call by the registers that it finds on resume.
func (tr *tracer) park(t *tracee, limit time.Duration) error {
	if c := tr.interruptibleOf(t.tid); c != nil && !t.stopped {
		tr.remember(t)
		tr.follow(t, c)
	}
	ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
	return tr.settle(t, time.Now().Add(limit))
}

// settle waits for the stop of a PTRACE_INTERRUPT that has been made.
func (tr *tracer) settle(t *tracee, end time.Time) error {
	for {
		if err := tr.awaitUntil(t, end); err != nil {
			return err
		}
		if tr.byTID[t.tid] != t || t.zombie || t.stop.event == unix.PTRACE_EVENT_STOP {
			return nil
		}
		if err := tr.usable("borrow"); err != nil {
			return err
		}
		// Any stop uses up the interrupt. It is asked for again before the thread goes on, so that
		// it gets nowhere.
		ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
		tr.resume(t)
	}
}

// filtered reports whether a thread is under seccomp(2); a thread that has ended is not.
func (p *Process) filtered(tid int) bool {
	status, err := readTask(p.PID, tid, "status")
	return err == nil && statusInt(status, "Seccomp", 0) != 0
}

// unfit says why a stopped thread cannot be borrowed; "" if it can.
func (tr *tracer) unfit(t *tracee) string {
	if t.regs.PC() == 0 && t.regs.SP() == 0 {
		return "runs no user code"
	}
	if why := loseInCall(t.tid); why != "" {
		return why
	}
	if _, ok := tr.placeFor(t.regs.PC()); !ok {
		return fmt.Sprintf("at %#x, where none of %d places for a stub is within %d MiB", uint64(t.regs.PC()), len(tr.places), stubReach>>20)
	}
	var conf [24]byte // struct ptrace_rseq_configuration: pointer, size, signature, flags
	n, e := ptraceBytes(unix.PTRACE_GET_RSEQ_CONFIGURATION, t.tid, conf[:])
	if e != 0 || n < 16 { // a kernel before 5.13
		if !t.regs.inCall() { // a sequence makes no calls
			return "may be in a restartable sequence, which this kernel does not tell"
		}
		return ""
	}
	area := arch.Addr(binary.LittleEndian.Uint64(conf[:]))
	if area == 0 {
		return ""
	}
	in, err := inRseq(t.tid, area, t.regs.PC())
	if err != nil {
		return fmt.Sprintf("its restartable sequence cannot be read: %v", err)
	}
	if in {
		return "is in a restartable sequence"
	}
	return ""
}

// inRseq reports whether pc is in the critical section that struct rseq at area names
// (linux/rseq.h): moving pc out and back would lose its abort.
func inRseq(tid int, area, pc arch.Addr) (bool, error) {
	const rseqCS = 8 // offset of rseq_cs
	var b [24]byte
	if err := readVM(tid, b[:8], area+rseqCS); err != nil {
		return false, err
	}
	cs := arch.Addr(binary.LittleEndian.Uint64(b[:]))
	if cs == 0 {
		return false, nil
	}
	// struct rseq_cs: version, flags (4 bytes each), start_ip, post_commit_offset, abort_ip.
	if err := readVM(tid, b[:], cs); err != nil {
		return false, err
	}
	start, length := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	return uint64(pc)-start < length, nil
}
