package ptrace

import (
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// interruptible describes a system call that returns a plain EINTR on any stop, without a
// signal (signal(7), and in the kernel's source: fs/eventpoll.c, kernel/signal.c, ipc/sem.c, fs/aio.c,
// io_uring/io_uring.c, sock_intr_errno in include/net/sock.h).
type interruptible struct {
	nr      int
	name    string
	timeout int  // index of the argument that holds a timeout in milliseconds; -1: none in a register
	memory  int  // index of the argument that points to a timeout, or is null; -1: none
	always  bool // on whatever file; the others do so only with a timeout of the socket's (SO_RCVTIMEO), or on some file systems
}

// Afresh is a call of a thread whose timeout began afresh because the thread was stopped in it: what it had waited counts no
// longer.
type Afresh struct {
	TID  int
	Call string // "epoll_wait"
}

// maxAfresh bounds how many of these are remembered.
const maxAfresh = 256

// Afresh returns the calls whose timeouts have begun afresh since the process was opened, each once.
func (p *Process) Afresh() []Afresh {
	var out []Afresh
	if err := p.do("ask", func(tr *tracer) error {
		out = slices.Clone(tr.afresh)
		return nil
	}); err != nil {
		return nil // closed
	}
	return out
}

// Interrupted is a call that a stop has ended with an EINTR, which the program may have seen.
type Interrupted struct {
	TID   int
	Call  string // "epoll_pwait"
	Times int
}

// Interrupted returns the calls that a stop has ended with an EINTR since the process was opened and that could not be made again, because it was not
// proven with which arguments the thread had made them. There are none on x86-64.
func (p *Process) Interrupted() []Interrupted {
	var out []Interrupted
	if err := p.do("ask", func(tr *tracer) error {
		out = slices.Clone(tr.seen)
		return nil
	}); err != nil {
		return nil // closed
	}
	return out
}

// noteAfresh remembers a call. It allocates nothing.
func (tr *tracer) noteAfresh(t *tracee, c *interruptible) {
	a := Afresh{t.tid, c.name}
	if len(tr.afresh) < cap(tr.afresh) && !slices.Contains(tr.afresh, a) {
		tr.afresh = append(tr.afresh, a)
	}
}

// waitRecord is what is known about a call of a thread that was stopped in it.
type waitRecord struct {
	timer *timer // nil: it is not followed

	// Where calls cannot be followed, they are known by these.
	pc, sp  arch.Addr
	left    uint64    // what was put in the register: milliseconds, and ownTimeout
	resumed time.Time // when the thread went on with them; zero: no record
}

// markBrittle finds out, while the target runs, which threads sit in a call that always needs repair. They are stopped
// one by one, each repaired at once, because the program sees the EINTR if the tracer dies in between.
func (tr *tracer) markBrittle() {
	for _, t := range tr.threads {
		if t.brittle = false; t.worker || t.zombie || t.stopped {
			continue
		}
		c := tr.interruptibleOf(t.tid)
		if c == nil {
			continue
		}
		tr.remember(t)
		if c.always {
			t.brittle = true
			tr.follow(t, c)
		}
	}
}

// interruptibleOf returns the call that a running thread is in, nil if it is none of these.
func (tr *tracer) interruptibleOf(tid int) *interruptible {
	nr, in := tr.p.syscallNR(tid)
	for i := range interruptibles {
		if in && interruptibles[i].nr == nr {
			return &interruptibles[i]
		}
	}
	return nil
}

// rankOf is [restartRank] for a call that does not go on by a restart block.
func rankOf(nr int) int {
	for i := range interruptibles {
		if interruptibles[i].nr == nr && nr != unix.SYS_READ && nr != unix.SYS_WRITE {
			return 2
		}
	}
	return 1
}

// follow begins to follow the call of a thread that is about to be stopped, if it has a timeout in a register. One that is followed already
// goes on being followed.
func (tr *tracer) follow(t *tracee, c *interruptible) {
	if c.timeout < 0 || t.wait.timer != nil && !t.wait.timer.returned() {
		return
	}
	tr.unfollow(&t.wait)
	in, err := tr.p.syscallInfo(t.tid)
	if err != nil || !in.In || int32(in.Args[c.timeout]) <= 0 || tr.timers >= maxTimers {
		return
	}
	if tm := newTimer(t.tid, in.PC); tm != nil {
		tm.begin(tr.p, t.tid, in.PC)
		t.wait.timer = tm
		tr.timers++
	}
}

// unfollow forgets the call that was followed.
func (tr *tracer) unfollow(w *waitRecord) {
	if w.timer != nil {
		w.timer.close()
		w.timer = nil
		tr.timers--
	}
}

// How a system call ended that a stop has interrupted.
type ending uint8

const (
	endOther ending = iota // there is none, or it is the kernel's to restart from its arguments
	endEINTR               // it returned a plain EINTR
	endBlock               // it goes on by restart_syscall, or may
)

// interruption is a call that a stop has interrupted.
type interruption struct {
	how    ending
	nr     int
	behind arch.Addr // where the call returns to
}

// repair makes a call that only our stop has interrupted restart, or returns EINTR if a handler is about to run. That holds as well at
// the delivery of a signal that has no handler, which would not have woken the thread if it were not traced
// (sig_ignored in kernel/signal.c). A thread that a stop signal stops is left alone: it gets EINTR in any
// case. Preconditions: t.stopped, t.regs read.
func (tr *tracer) repair(t *tracee) {
	switch {
	case t.stop.event == unix.PTRACE_EVENT_STOP && t.stop.sig == int(unix.SIGTRAP):
	case t.stop.delivery() && !stopsGroup(t.stop.sig):
	default:
		return
	}
	if !t.regs.native() {
		return
	}
	was := tr.interrupted(t)
	var calls []interruptible
	switch was.how {
	case endEINTR:
		calls = interruptibles[:]
	case endBlock:
		if tr.mayRestart(t, was.behind) {
			return
		}
		calls = restartables[:]
	}
	for i := range calls {
		c := &calls[i]
		if c.nr != was.nr {
			continue
		}
		if tr.beginAgain(t, &was) {
			if !tr.keepTime(t, c, was.behind) {
				tr.noteAfresh(t, c)
			}
			tr.makesAgain(t)
			regset(unix.PTRACE_SETREGSET, t.tid, &t.regs)
		}
		return
	}
}

// mayRestart reports whether a stopped thread's seccomp filters allow restart_syscall(2), by which the kernel goes on with calls that have a
// restart block. A filter that forgets it kills the thread at any stop, SIGSTOP's too; the call is then made to begin again instead. behind is where
// the call returns to.
func (tr *tracer) mayRestart(t *tracee, behind arch.Addr) bool {
	return tr.mayCall(t, unix.SYS_RESTART_SYSCALL, t.regs.args(), behind)
}

// mayCall reports whether a stopped thread's seccomp filters allow a call that returns to behind.
func (tr *tracer) mayCall(t *tracee, nr int, args [6]uint64, behind arch.Addr) bool {
	switch _, e := ptraceAt(unix.PTRACE_SECCOMP_GET_FILTER, t.tid, 0, nil); e {
	case 0:
	case unix.EACCES, unix.EIO: // filters are not shown
		return !tr.p.filtered(t.tid)
	default: // it has none
		return true
	}
	filters, err := tr.filtersOf(t)
	if err != nil {
		return false
	}
	v, err := judge(filters, uintptr(nr), args, behind)
	return err == nil && v.allows()
}

// stopsGroup reports a signal whose default action is to stop the process (signal(7)).
func stopsGroup(sig int) bool {
	switch unix.Signal(sig) {
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return true
	}
	return false
}

// keepTime takes the time that has certainly been waited off a finite timeout, because the kernel starts it afresh. It
// reports false if that cannot be done, or is not known for the part before the first stop. behind is where the call returns to.
//
// A timeout in memory may be constant, or shared by others, and is not changed. A register is changed only if the call was made in
// the C library, whose functions load it anew for each call and are left with it clobbered (r10 and x3 are
// scratch in the ABIs of both architectures); other code may rely on its being unchanged.
func (tr *tracer) keepTime(t *tracee, c *interruptible, behind arch.Addr) bool {
	const extArg = 1 << 3 // IORING_ENTER_EXT_ARG of linux/io_uring.h: a timeout may stand behind the argument
	switch {
	case !c.always:
		return false // a plain EINTR says that there is a timeout
	case c.nr == unix.SYS_IO_URING_ENTER:
		return t.regs.Arg(3)&extArg == 0
	case c.memory >= 0:
		return t.regs.Arg(c.memory) == 0
	case c.timeout < 0:
		return true
	}
	ms := int32(t.regs.Arg(c.timeout))
	if ms <= 0 {
		return true
	}
	if !inMappings(tr.libc, behind) {
		return false
	}
	left, known := tr.timeLeft(t, t.regs.Arg(c.timeout), behind)
	args := t.regs.args()
	if args[c.timeout] = left; !tr.mayCall(t, c.nr, args, behind) { // a filter may compare the whole register
		return false
	}
	t.regs.setArg(c.timeout, left)
	t.wait.pc, t.wait.sp, t.wait.left = behind, t.regs.SP(), left
	return known
}

// ownTimeout marks a timeout as put in a register by us, in the upper half, which the kernel drops (int timeout). A C library loads a zero or
// the sign there, or what happens to be in a register, anew for each call.
const ownTimeout = 0x68740001 << 32

// timeLeft returns what is left of a timeout in milliseconds that a stopped thread has in a register, to be put there. If known is false it is all of
// it.
func (tr *tracer) timeLeft(t *tracee, reg uint64, behind arch.Addr) (left uint64, known bool) {
	w, ms := &t.wait, int32(reg)
	if w.timer != nil && !w.timer.follows(ms) { // this is another call
		tr.unfollow(w)
	}
	if w.timer == nil && tr.timers < maxTimers {
		if w.timer = newTimer(t.tid, behind); w.timer != nil {
			tr.timers++
		}
	}
	switch {
	case w.timer != nil:
		rest, known := w.timer.left(ms)
		return uint64(rest), known
	case !w.resumed.IsZero() && w.pc == behind && w.sp == t.regs.SP() && w.left == reg && reg&^math.MaxUint32 == ownTimeout:
		return ownTimeout | uint64(max(0, int64(ms)-time.Since(w.resumed).Milliseconds())), true
	}
	return ownTimeout | uint64(ms), false
}

// inMappings reports whether addr lies in one of ms.
func inMappings(ms []Mapping, addr arch.Addr) bool {
	for i := range ms {
		if addr >= ms[i].Start && addr < ms[i].End {
			return true
		}
	}
	return false
}
