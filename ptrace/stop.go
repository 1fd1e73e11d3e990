package ptrace

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// StopOptions bound a stop.
type StopOptions struct {
	MaxPause time.Duration // longest pause; 0: no limit. Stopping gives up when it is reached; the function asks [Stopped.Over]
	Deadline time.Time     // by when all threads must have stopped; zero: two seconds from the first
	Detach   bool          // let the threads go afterwards, instead of resuming them as tracees
}

// StopStats are the measurements of a stop. They are valid after an error as well.
type StopStats struct {
	Pause    time.Duration // from before the first thread was stopped until after the last was resumed
	Stopping time.Duration // the part of it until all had stopped
	Resuming time.Duration // the part of it for resuming
	Threads  int           // that were stopped
	Realtime bool          // the tracer ran with SCHED_FIFO
}

// Stopped is a process with all threads stopped. It is valid inside the function given to Stop.
type Stopped struct {
	Threads []Thread

	tr    *tracer
	opts  StopOptions
	start time.Time
	max   time.Duration
}

// Thread is a stopped thread.
type Thread struct {
	TID    int
	NoUser bool      // a worker of the kernel: no registers, no stack
	FSBase arch.Addr // thread pointer

	regs *Regs
	pid  int
}

// Regs returns the registers, as they were when the thread stopped. A call that the stop has interrupted shows
// the kernel's internal result.
func (t *Thread) Regs() *Regs { return t.regs }

// VG returns how many 64-bit words a scalable vector of the thread has (arm64 with SVE: VG of AADWARF64, 4.1); false: there are none, or that is not
// told. It asks the kernel. Preconditions: the function given to Stop is running.
func (t *Thread) VG() (uint64, bool) { return readVG(t.TID) }

// Comm reads the thread's name; "" if it has ended.
func (t *Thread) Comm() string {
	b, err := readTask(t.pid, t.TID, "comm")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

// Over reports whether the pause has reached its maximum.
func (s *Stopped) Over() bool { return s.max > 0 && time.Since(s.start) >= s.max }

// Remaining is how much of the maximum pause is left; a very long time if there is no maximum.
func (s *Stopped) Remaining() time.Duration {
	if s.max == 0 {
		return 1<<63 - 1
	}
	return s.max - time.Since(s.start)
}

// Read fills buf from the target's memory. It allocates nothing unless it fails.
func (s *Stopped) Read(buf []byte, addr arch.Addr) error {
	if len(buf) == 0 {
		return nil
	}
	if err := readVM(s.tr.anyLive(), buf, addr); err != nil {
		return readFD(s.tr.mem.fd, buf, addr)
	}
	return nil
}

// ReadMem is [Stopped.Read] under the name that unwinders expect.
func (s *Stopped) ReadMem(buf []byte, addr arch.Addr) error { return s.Read(buf, addr) }

// ReadVec fills several buffers with one system call for each 1,024 of them.
func (s *Stopped) ReadVec(ranges []Range) error {
	return readVec(s.tr.anyLive(), ranges, s.tr.local, s.tr.remote)
}

// Write changes the target's memory, whatever its protection.
func (s *Stopped) Write(addr arch.Addr, data []byte) error {
	return s.tr.write(s.tr.anyLive(), addr, data)
}

// Stop stops all threads, calls fn on the tracer's OS thread, and resumes all as they were.
// fn must not call methods of the Process that trace. The error is that of fn, joined with what
// went wrong around it; fn is not called unless every thread is stopped.
func (p *Process) Stop(opts StopOptions, fn func(s *Stopped) error) (StopStats, error) {
	var stats StopStats
	err := p.do("stop", func(tr *tracer) error { return tr.stopAll(opts, &stats, fn) })
	return stats, err
}

// stopAll is Stop on the tracer's thread.
func (tr *tracer) stopAll(opts StopOptions, stats *StopStats, fn func(s *Stopped) error) error {
	if err := tr.prepareStop(opts); err != nil {
		return err
	}
	hold()
	defer release()
	var rt realtime
	rt.raise()
	defer rt.lower()
	stats.Realtime = rt.raised || rt.was

	s := &Stopped{tr: tr, opts: opts, start: time.Now(), max: opts.MaxPause, Threads: tr.view[:0]}
	err := tr.collect(opts, s)
	stats.Stopping = time.Since(s.start)
	func() {
		defer func() { // also if fn panics
			begin := time.Now()
			err = also(err, tr.resumeAll(opts.Detach))
			stats.Resuming, stats.Pause = time.Since(begin), time.Since(s.start)
		}()
		if err == nil {
			stats.Threads = tr.show(s)
			err = fn(s)
		}
	}()
	return err
}

// prepareStop does, while the target runs, all that a stop needs.
func (tr *tracer) prepareStop(opts StopOptions) error {
	if err := tr.seize(); err != nil {
		return err
	}
	if t := tr.byTID[tr.p.PID]; t != nil && !t.zombie && tr.leaderEnded() {
		t.zombie = true
	}
	if err := tr.awaitSole(opts); err != nil {
		return err
	}
	if err := tr.openMem(); err != nil {
		return err
	}
	tr.reserve(2*len(tr.threads) + 64)
	tr.markBrittle()
	tr.serve()
	return tr.usable("stop")
}

// reserve makes room for n threads, so that the stop allocates nothing.
func (tr *tracer) reserve(n int) {
	if cap(tr.view) < n {
		tr.view = make([]Thread, 0, n)
	}
	if tr.local == nil {
		tr.local, tr.remote = make([]unix.Iovec, maxIov), make([]unix.RemoteIovec, maxIov)
	}
}

// collect stops every thread. After an error some are stopped and some are not.
func (tr *tracer) collect(opts StopOptions, s *Stopped) error {
	end := opts.Deadline
	if end.IsZero() {
		end = s.start.Add(defaultPatience)
	}
	kind := ErrTimeout
	if m := s.start.Add(opts.MaxPause); opts.MaxPause > 0 && m.Before(end) {
		end, kind = m, ErrPause
	}
	for range maxSeizePasses {
		tr.interruptAll()
		if err := tr.awaitAll(end, kind); err != nil {
			return err
		}
		if err := tr.usable("stop"); err != nil {
			return err
		}
		// The directory has a link for each thread, and one each for itself and its parent.
		if n, e := links(tr.taskDir); e == 0 && int(n)-2 == len(tr.threads) {
			return tr.inTime(s)
		}
		// Workers of the kernel come and go. Another unknown thread is one born unseen.
		if n, err := tr.seizeNew(); err != nil {
			return err
		} else if n == 0 {
			return tr.inTime(s)
		}
		if time.Now().After(end) {
			break
		}
	}
	return tr.p.fail("stop", 0, kind, "threads come and go without being seen", nil)
}

// inTime refuses a stop whose maximum pause has passed before anything was done in it.
func (tr *tracer) inTime(s *Stopped) error {
	if !s.Over() {
		return nil
	}
	e := tr.p.fail("stop", 0, ErrPause, fmt.Sprintf("stopping %d threads took %v, of at most %v", len(tr.threads),
		time.Since(s.start).Round(time.Microsecond), s.max), nil)
	e.Help = "allow a longer pause"
	return e
}

// interruptAll asks every running thread to stop, except the brittle ones: awaitAll does that.
func (tr *tracer) interruptAll() {
	for _, t := range tr.threads {
		if !t.stopped && !t.worker && !t.zombie && !t.brittle {
			tr.remember(t)
			ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
		}
	}
}

// awaitAll waits until every thread has stopped; those that appear meanwhile stop by themselves. A brittle thread is
// asked to stop when it is its turn.
func (tr *tracer) awaitAll(end time.Time, kind error) error {
	for i := 0; i < len(tr.threads); {
		t := tr.threads[i]
		if t.stopped || t.worker || t.zombie {
			i++
			continue
		}
		if t.brittle {
			tr.remember(t)
			ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
		}
		if err := tr.awaitUntil(t, end); err != nil {
			var e *Error
			if kind != ErrTimeout && errors.As(err, &e) && e.Kind == ErrTimeout {
				e.Kind = kind
			}
			return err
		}
		// t may have left the table, which moves the others.
	}
	for d := int64(napFirst); ; d = min(d*2, napMost) {
		if tr.attend(); len(tr.strays) == 0 {
			return tr.awaitSharers(end, kind)
		}
		if time.Now().After(end) {
			return tr.p.fail("stop", tr.strays[0], kind, "a new process did not stop before its first instruction", nil)
		}
		nap(d)
	}
}

// freeStrays lets those new processes go that have reached their first stop, or have ended.
func (tr *tracer) freeStrays() {
	for i := 0; i < len(tr.strays); {
		tid := tr.strays[i]
		e := waitPeek(tid, &tr.si)
		if e == 0 && tr.si.PID == 0 {
			i++
			continue
		}
		if e == 0 && tr.si.Code != cldTrapped && tr.si.Code != cldStopped {
			waitConsume(tid)
		}
		tr.letGo(tid) // takes it out of strays
	}
}

// show fills in what fn sees and returns how many threads are stopped.
func (tr *tracer) show(s *Stopped) int {
	n := 0
	for _, t := range tr.threads {
		if t.zombie {
			continue
		}
		th := Thread{TID: t.tid, NoUser: t.worker, regs: &t.regs, pid: tr.p.PID}
		if !t.worker {
			n++
			th.NoUser = t.regs.PC() == 0 && t.regs.SP() == 0
			th.FSBase = threadPointer(t)
		}
		s.Threads = append(s.Threads, th)
	}
	return n
}

// resumeAll lets every thread go on.
func (tr *tracer) resumeAll(detach bool) error {
	if detach {
		tr.detachAll()
		return tr.usable("resume")
	}
	for i := 0; i < len(tr.threads); {
		t := tr.threads[i]
		if t.stopped {
			tr.resume(t)
		}
		if i < len(tr.threads) && tr.threads[i] == t {
			i++
		}
	}
	tr.mourn()
	return tr.usable("resume")
}
