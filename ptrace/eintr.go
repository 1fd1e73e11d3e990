package ptrace

import (
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
	timeout int  // index of the argument that holds a timeout in milliseconds; -1: none in a register
	always  bool // on whatever file; the others do so only on some
}

// waitRecord is what is known about a call whose timeout was shortened.
type waitRecord struct {
	pc, sp  arch.Addr
	left    uint64    // milliseconds that were put in the register; never those of the program unless equal by chance
	resumed time.Time // when the thread went on with them; zero: no record
}

// markBrittle finds out, while the target runs, which threads sit in a call that always needs repair. They are stopped
// one by one, each repaired at once, because the program sees the EINTR if the tracer dies in between.
func (tr *tracer) markBrittle() {
	for _, t := range tr.threads {
		if t.brittle = false; t.worker || t.zombie || t.stopped {
			continue
		}
		nr, in := tr.p.syscallNR(t.tid)
		t.brittle = in && slices.ContainsFunc(interruptibles[:], func(c interruptible) bool { return c.nr == nr && c.always })
	}
}

// repair makes a call that only our stop has interrupted restart: its result EINTR becomes -ERESTARTNOHAND
// (linux/errno.h), with the number of the call in place, so the kernel restarts it on resume, or returns EINTR
// if a handler is about to run. That holds as well at the delivery of a signal that has no handler, which
// would not have woken the thread if it were not traced (sig_ignored in kernel/signal.c). A thread that a
// stop signal stops is left alone: it gets EINTR in any case. Preconditions: t.stopped, t.regs read.
func (tr *tracer) repair(t *tracee) {
	switch {
	case t.stop.event == unix.PTRACE_EVENT_STOP && t.stop.sig == int(unix.SIGTRAP):
	case t.stop.delivery() && !stopsGroup(t.stop.sig):
	default:
		return
	}
	nr, in := t.regs.Syscall()
	if !in || t.regs.Result() != -int64(unix.EINTR) || !t.regs.native() {
		return
	}
	for i := range interruptibles {
		if c := &interruptibles[i]; c.nr == nr {
			t.regs.setResult(-eRestartNoHand)
			tr.shorten(t, c)
			regset(unix.PTRACE_SETREGSET, t.tid, &t.regs)
			return
		}
	}
}

// stopsGroup reports a signal whose default action is to stop the process (signal(7)).
func stopsGroup(sig int) bool {
	switch unix.Signal(sig) {
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return true
	}
	return false
}

// shorten takes the time that has certainly been waited off a finite timeout, so that many
// stops do not add up: the kernel starts it afresh. The first stop does not know since when the thread
// has waited, so a timeout may grow once by up to itself. The register is changed only
// if the call was made in the C library, whose functions load it anew for each call and are
// left with it clobbered (System V ABI: r10 is scratch); other code may rely on its being unchanged.
func (tr *tracer) shorten(t *tracee, c *interruptible) {
	if c.timeout < 0 {
		return
	}
	ms := int32(t.regs.Arg(c.timeout))
	if ms <= 0 || !inMappings(tr.libc, t.regs.PC()) {
		return
	}
	w := &t.wait
	same := !w.resumed.IsZero() && w.pc == t.regs.PC() && w.sp == t.regs.SP() && w.left == uint64(ms)
	if same {
		ms = max(0, ms-int32(min(time.Since(w.resumed).Milliseconds(), int64(ms))))
	} else if ms > 1 {
		ms-- // mark it as ours
	}
	t.regs.setArg(c.timeout, uint64(ms))
	*w = waitRecord{pc: t.regs.PC(), sp: t.regs.SP(), left: uint64(ms)}
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
