package ptrace

import "golang.org/x/sys/unix"

// interruptibles are the calls that repair restarts. Calls on sockets return EINTR only with
// SO_RCVTIMEO or SO_SNDTIMEO set, read and write also on some file systems; both only before
// anything was transferred.
var interruptibles = [...]interruptible{
	{nr: unix.SYS_EPOLL_WAIT, name: "epoll_wait", timeout: 3, memory: -1, always: true},
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
	{nr: unix.SYS_POLL, name: "poll", timeout: 2, memory: -1, always: true},
	{nr: unix.SYS_NANOSLEEP, name: "nanosleep", timeout: -1, memory: 0, always: true},
	{nr: unix.SYS_CLOCK_NANOSLEEP, name: "clock_nanosleep", timeout: -1, memory: 2, always: true},
	{nr: unix.SYS_FUTEX, name: "futex", timeout: -1, memory: 3, always: true},
}

// memory is what is remembered of a thread from stop to stop: nothing, because a stop tells all.
type memory struct{}

func (tr *tracer) resumed(*tracee) {}

// forgetCall forgets in which call a thread was seen, which is let go or has ended.
func (tr *tracer) forgetCall(t *tracee) { t.memory = memory{} }

// deliverInCall prepares a borrowed thread, with its own registers, for a signal: the kernel sees by them which call it is in.
func (tr *tracer) deliverInCall(*tracee) {}

// remember notes what a thread is blocked in, in front of a stop. The stop itself tells it.
func (tr *tracer) remember(*tracee) {}

// interrupted returns the call that a stop has interrupted. Preconditions: t.stopped, t.regs read.
func (tr *tracer) interrupted(t *tracee) interruption {
	nr, in := t.regs.Syscall()
	was := interruption{nr: nr, behind: t.regs.PC()}
	switch {
	case !in:
	case t.regs.Result() == -int64(unix.EINTR):
		was.how = endEINTR
	case t.regs.Result() == -eRestartResblock:
		was.how = endBlock
	}
	return was
}

// beginAgain changes t.regs so that the call is made again: its result becomes -ERESTARTNOHAND (linux/errno.h), with the
// number of the call in place, so the kernel restarts it on resume, or returns EINTR if a handler is about to run.
func (tr *tracer) beginAgain(t *tracee, _ *interruption) bool {
	t.regs.setResult(-eRestartNoHand)
	return true
}

// makesAgain notes that a thread is about to make its call again because of us. The kernel knows it.
func (tr *tracer) makesAgain(*tracee) {}

// handlerEnds reports whether a signal waits for a stopped thread that ends its call only if the thread is traced.
func (tr *tracer) handlerEnds(*tracee) bool { return false }

// keepRestart prepares a parked thread for being borrowed: its registers say how its call goes on.
func (tr *tracer) keepRestart(*tracee) error { return nil }
