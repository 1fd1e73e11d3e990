package ptrace

import (
	"bytes"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// At a stop the kernel has already decided about an interrupted call: x0 is argument 0 again and pc the svc, if the call is to be restarted;
// else x0 is the result. What it remembers (the result, on its own stack) it uses once the thread goes on, provided that pc is still
// the svc: a handler that is to run turns a restart into EINTR, and a restart block sets x8 to the number of restart_syscall
// (do_signal in arch/arm64/kernel/signal.c). A thread that was elsewhere in between, borrowed, has lost that, so it is made up for here.
//
// A call that has returned a plain EINTR is made again by hand, with the argument 0 that the kernel keeps as orig_x0 (enteredArg0). A stop does not
// tell such a call from the same place in the program behind the return of a handler, which has ended the call for good: both have the result in x0
// and pc behind the svc. So a thread is looked at before it is asked to stop, in /proc/PID/task/TID/syscall: if it is in a call of this kind then,
// with the same stack pointer and pc, and no handler has begun since (each begins with a stop of its own, where the look is forgotten), then no
// handler returns there either, and what ended with EINTR is the last call that it has made. Without a look nothing is done, the program sees
// the EINTR, and the call is named (Process.Interrupted):
//   - if a thread begins such a call between the look and its stop, at a place where it was not seen before;
//   - if an ignored signal wakes one while it is traced and has not been looked at in this call.
//
// No perf event takes part: see perfEvents.

// interruptibles are the calls that repair restarts. Calls on sockets return EINTR only with
// SO_RCVTIMEO or SO_SNDTIMEO set, read and write also on some file systems; both only before
// anything was transferred.
var interruptibles = [...]interruptible{
	{nr: unix.SYS_EPOLL_PWAIT, name: "epoll_pwait", timeout: 3, memory: -1, always: true},
	{nr: unix.SYS_EPOLL_PWAIT2, name: "epoll_pwait2", timeout: -1, memory: 3, always: true},
	{nr: unix.SYS_RT_SIGTIMEDWAIT, name: "sigtimedwait", timeout: -1, memory: 2, always: true},
	{nr: unix.SYS_IO_URING_ENTER, name: "io_uring_enter", timeout: -1, memory: -1, always: true},
	{nr: unix.SYS_SEMOP, name: "semop", timeout: -1, memory: -1, always: true},
	{nr: unix.SYS_SEMTIMEDOP, name: "semtimedop", timeout: -1, memory: 3, always: true},
	{nr: unix.SYS_IO_GETEVENTS, name: "io_getevents", timeout: -1, memory: 4, always: true},
	{nr: unix.SYS_IO_PGETEVENTS, name: "io_pgetevents", timeout: -1, memory: 4, always: true},
	{nr: unix.SYS_ACCEPT, name: "accept", timeout: -1, memory: -1},
	{nr: unix.SYS_ACCEPT4, name: "accept4", timeout: -1, memory: -1},
	{nr: unix.SYS_CONNECT, name: "connect", timeout: -1, memory: -1},
	{nr: unix.SYS_RECVFROM, name: "recvfrom", timeout: -1, memory: -1},
	{nr: unix.SYS_RECVMSG, name: "recvmsg", timeout: -1, memory: -1},
	{nr: unix.SYS_RECVMMSG, name: "recvmmsg", timeout: -1, memory: -1},
	{nr: unix.SYS_SENDTO, name: "sendto", timeout: -1, memory: -1},
	{nr: unix.SYS_SENDMSG, name: "sendmsg", timeout: -1, memory: -1},
	{nr: unix.SYS_SENDMMSG, name: "sendmmsg", timeout: -1, memory: -1},
	{nr: unix.SYS_READ, name: "read", timeout: -1, memory: -1},
	{nr: unix.SYS_READV, name: "readv", timeout: -1, memory: -1},
	{nr: unix.SYS_WRITE, name: "write", timeout: -1, memory: -1},
	{nr: unix.SYS_WRITEV, name: "writev", timeout: -1, memory: -1},
	{nr: unix.SYS_SENDFILE, name: "sendfile", timeout: -1, memory: -1},
}

// restartables are the calls that go on by a restart block. All have a timeout then.
var restartables = [...]interruptible{
	{nr: unix.SYS_NANOSLEEP, name: "nanosleep", timeout: -1, memory: 0, always: true},
	{nr: unix.SYS_CLOCK_NANOSLEEP, name: "clock_nanosleep", timeout: -1, memory: 2, always: true},
	{nr: unix.SYS_FUTEX, name: "futex", timeout: -1, memory: 3, always: true},
}

// neverRestarted are the calls that a signal with a handler ends with EINTR whatever its SA_RESTART (signal(7)), beside those of
// interruptibles that are so always. A futex is one if it waits with a timeout.
var neverRestarted = [...]int{
	unix.SYS_RESTART_SYSCALL, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_RT_SIGSUSPEND,
	unix.SYS_MSGRCV, unix.SYS_MSGSND,
}

// callRecord is a call of a thread.
type callRecord struct {
	known  bool
	nr     int
	behind arch.Addr // where it returns to
	sp     arch.Addr
	args   [6]uint64
}

// is reports whether the registers are those of a thread in a call of this kind, from this place.
func (c *callRecord) is(r *Regs, behind arch.Addr) bool {
	return c.known && c.nr == r.callNR() && c.behind == behind && c.sp == r.SP()
}

// with reports whether the arguments are those of the call.
func (c *callRecord) with(r *Regs) bool {
	return c.args == r.args()
}

// next reports whether a stopped thread is about to make the call.
func (c *callRecord) next(t *tracee) bool {
	r := &t.regs
	return c.is(r, r.PC()+arch.Addr(len(syscallInst))) && c.with(r) && isCall(t.tid, r.PC())
}

// memory is what is remembered of a thread from stop to stop.
type memory struct {
	blocked callRecord // in which it was seen last; without the arguments, which the stop tells
	again   callRecord // which it makes again because of us, and which a handler is to end
}

// resumed notes that a thread goes on from a stop: a handler may leave the call without returning from it.
func (tr *tracer) resumed(t *tracee) {
	if t.stop.delivery() {
		tr.forgetCall(t)
	}
}

// forgetCall forgets in which call a thread was seen.
func (tr *tracer) forgetCall(t *tracee) { t.memory.blocked = callRecord{} }

// remember notes what a thread is in that is about to be asked to stop, if that is a call to be repaired. Preconditions: it is traced, and
// runs.
func (tr *tracer) remember(t *tracee) {
	if in, err := tr.p.syscallInfo(t.tid); err == nil && in.In && callOf(interruptibles[:], in.NR) != nil {
		t.memory.blocked = callRecord{known: true, nr: in.NR, behind: in.PC, sp: in.SP}
	}
}

// noteInterrupted remembers a call that has returned EINTR and is not made again. It allocates nothing.
func (tr *tracer) noteInterrupted(t *tracee, nr int) {
	c := callOf(interruptibles[:], nr)
	if c == nil || !isCall(t.tid, t.regs.PC()-arch.Addr(len(syscallInst))) {
		return
	}
	for i := range tr.seen {
		if s := &tr.seen[i]; s.TID == t.tid && s.Call == c.name {
			s.Times++
			return
		}
	}
	if len(tr.seen) < cap(tr.seen) {
		tr.seen = append(tr.seen, Interrupted{TID: t.tid, Call: c.name, Times: 1})
	}
}

// interrupted returns the call that a stop has interrupted. At the delivery of a signal with a handler it also ends the call that was to be
// made again. Preconditions: t.stopped, t.regs read.
func (tr *tracer) interrupted(t *tracee) interruption {
	r, m := &t.regs, &t.memory
	if t.stop.delivery() && (m.again.known || r.Result() == -int64(unix.EINTR)) && tr.caught(t) {
		tr.endAgain(t)
		return interruption{}
	}
	was := interruption{nr: r.callNR(), behind: r.PC()}
	switch {
	case r.Result() == -int64(unix.EINTR):
		if m.blocked.is(r, r.PC()) {
			was.how = endEINTR
		} else {
			tr.noteInterrupted(t, was.nr)
		}
	case t.stop.delivery(): // the kernel decides
	case callOf(restartables[:], was.nr) != nil && (was.nr != unix.SYS_FUTEX || timedFutex(r)) && isCall(t.tid, r.PC()):
		was.how, was.behind = endBlock, r.PC()+arch.Addr(len(syscallInst))
	}
	return was
}

// caught reports whether the signal that a thread is stopped for has a handler.
func (tr *tracer) caught(t *tracee) bool {
	status, err := readTask(tr.p.PID, t.tid, "status")
	return err == nil && statusMask(status, "SigCgt")>>(t.stop.sig-1)&1 != 0
}

// callOf finds a call in a table.
func callOf(table []interruptible, nr int) *interruptible {
	i := slices.IndexFunc(table, func(c interruptible) bool { return c.nr == nr })
	if i < 0 {
		return nil
	}
	return &table[i]
}

// isCall reports whether the instruction at an address enters the kernel.
func isCall(tid int, at arch.Addr) bool {
	var b [4]byte
	return readVM(tid, b[:], at) == nil && bytes.Equal(b[:], syscallInst)
}

// beginAgain changes the thread so that the call is made again. It reports false if it cannot, or need not.
func (tr *tracer) beginAgain(t *tracee, was *interruption) bool {
	if was.how == endBlock {
		return tr.leaveBlock(t)
	}
	arg0, e := enteredArg0(t.tid)
	if e != 0 {
		tr.noteInterrupted(t, was.nr)
		return false
	}
	t.regs.setArg(0, arg0)
	t.regs.word[regPC] = uint64(was.behind) - uint64(len(syscallInst))
	t.regs.word[regPstate] &^= pstateBTYPE
	return true
}

// makesAgain notes that a thread is about to make its call again because of us.
func (tr *tracer) makesAgain(t *tracee) {
	r := &t.regs
	t.memory.again = callRecord{known: true, nr: r.callNR(), behind: r.PC() + arch.Addr(len(syscallInst)), sp: r.SP(), args: r.args()}
}

// endAgain ends a call that was to be made again, and that a handler ends, with EINTR. Preconditions: t is at the delivery of a signal that
// has a handler.
func (tr *tracer) endAgain(t *tracee) {
	a, r := &t.memory.again, &t.regs
	if !a.next(t) || !endsByHandler(r) {
		return
	}
	a.known = false
	r.setResult(-int64(unix.EINTR))
	r.word[regPC] = uint64(a.behind)
	regset(unix.PTRACE_SETREGSET, t.tid, r)
}

// endsByHandler reports whether a handler ends the call that a thread is about to make, whatever its SA_RESTART. Of the others that is not known,
// so they are made again behind the handler, as if the signal had come just before.
func endsByHandler(r *Regs) bool {
	nr := r.callNR()
	c := callOf(interruptibles[:], nr)
	return c != nil && c.always || slices.Contains(neverRestarted[:], nr) || nr == unix.SYS_FUTEX && timedFutex(r)
}

// timedFutex reports whether a futex call waits with a timeout, so that it goes on by a restart block and a handler ends it (futex_wait in
// kernel/futex/waitswake.c). Others have something else in argument 3, never block, or are begun again behind any handler.
func timedFutex(r *Regs) bool {
	const wait, waitBitset, flags = 0, 9, 128 | 256 // FUTEX_WAIT, FUTEX_WAIT_BITSET; FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME of linux/futex.h
	op := uint32(r.Arg(1)) &^ flags
	return (op == wait || op == waitBitset) && r.Arg(3) != 0
}

// deliverInCall prepares a borrowed thread, with its own registers, for a signal: a handler ends the call, as it would have.
func (tr *tracer) deliverInCall(t *tracee) {
	if tr.caught(t) {
		tr.endAgain(t)
	}
}

// handlerEnds reports whether a signal waits for a stopped thread that ends its call only if the thread is traced: the call is to be made
// again, and the kernel does not know.
func (tr *tracer) handlerEnds(t *tracee) bool {
	if t.stop.delivery() || !t.memory.again.next(t) || !endsByHandler(&t.regs) {
		return false
	}
	status, err := readTask(tr.p.PID, t.tid, "status")
	if err != nil {
		return false
	}
	pending := statusMask(status, "SigPnd") | statusMask(status, "ShdPnd")
	return pending&^statusMask(status, "SigBlk")&statusMask(status, "SigCgt") != 0
}

// entryPatience is how long a thread may take to the entry of its call, and back into a stop of PTRACE_INTERRUPT. Nothing but the want of a
// processor delays it, and what is half done must be done to its end, so this is long.
const entryPatience = 5 * time.Second

// toEntry lets a parked thread run to the entry of the call that it is about to make. It reports false if something else came first.
func (tr *tracer) toEntry(t *tracee, end time.Time) (bool, error) {
	if e := ptrace(unix.PTRACE_SYSCALL, t.tid, 0, 0); e != 0 {
		return false, e
	}
	t.stopped = false
	if err := tr.awaitStop(t, end); err != nil {
		return false, err
	}
	return tr.byTID[t.tid] == t && t.stop.sys, nil
}

// backToStop lets a stopped thread go on into a stop of PTRACE_INTERRUPT, which a call that blocks ends in at once. It reports false if the
// thread has ended.
func (tr *tracer) backToStop(t *tracee, end time.Time) (bool, error) {
	for tr.byTID[t.tid] == t && !t.zombie {
		if t.stop.event == unix.PTRACE_EVENT_STOP {
			return true, nil
		}
		if err := tr.usable("borrow"); err != nil {
			return false, err
		}
		ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0)
		tr.resume(t)
		if err := tr.awaitStop(t, end); err != nil {
			return false, err
		}
	}
	return false, nil
}

// keepRestart prepares a parked thread for being borrowed. If its call goes on by a restart block, the kernel would no longer know: it is made
// to put the number of restart_syscall into x8 now, as it does when it lets the thread go on, by letting it go on to the entry of that
// call and interrupting it there. The block itself stays as it is until the thread's next sleep.
func (tr *tracer) keepRestart(t *tracee) error {
	end := time.Now().Add(entryPatience)
	const tries = 3 // the first may begin the call, which the thread was just about to make
	for range tries {
		was := tr.interrupted(t)
		if was.how != endBlock || !tr.mayRestart(t, was.behind) {
			break
		}
		if _, err := tr.toEntry(t, end); err != nil {
			return err
		}
		if alive, err := tr.backToStop(t, end); !alive {
			return err
		}
	}
	if isCall(t.tid, t.regs.PC()) {
		tr.makesAgain(t)
	}
	return nil
}

// leaveBlock makes a parked thread forget that its call goes on by a restart block, so that it is made again from its arguments: at the
// call's entry its number is put back, and pc one instruction back, so that the kernel does not find the pc that it looks for when it lets
// the thread go on from its next stop. It reports false if the thread does something else now.
func (tr *tracer) leaveBlock(t *tracee) bool {
	saved, end := t.regs, time.Now().Add(entryPatience)
	entry, err := tr.toEntry(t, end)
	if err != nil {
		return false
	}
	if entry {
		at := saved // from here on the call is the program's, and goes on to itself
		if _, e := regset(unix.PTRACE_SETREGSET, t.tid, &at); e != 0 {
			return false
		}
		if setSyscall(t.tid, saved.callNR()) != 0 {
			return false
		}
	}
	if alive, err := tr.backToStop(t, end); !alive || err != nil || !entry {
		return false
	}
	const inst = 4
	switch t.regs.PC() {
	case saved.PC() - inst: // interrupted, and rewound by one instruction
		t.regs = saved
	case saved.PC(): // the call has ended
		t.regs.word[regPC] += inst
	default: // a handler runs
		return false
	}
	return true
}
