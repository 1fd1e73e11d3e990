package ptrace

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// timer follows one call of a thread that has a timeout in a register, to know when its time is over.
//
// A breakpoint behind the call, a perf event that only counts, tells whether the thread is still in the same call. How long it had been there
// before it was first stopped is told by the scheduler's clock: the kernel notes when a thread last ran (se.exec_start in
// /proc/PID/task/TID/sched: kernel/sched/debug.c), and once more when it is woken, to be stopped. The difference is the time between,
// less the time that its CPU spent on interrupts: never too much. Each CPU has a clock of its own, so nothing is known of
// a thread that was woken on another one.
type timer struct {
	returns     int // descriptor of the perf event; -1: none
	sched, stat int // descriptors of /proc/PID/task/TID/...; -1: none
	before      lastRun
	deadline    time.Time // zero: not known yet
	put         int32     // milliseconds that were put in the register; valid with the deadline
}

// lastRun is what the kernel says of a thread that is blocked.
type lastRun struct {
	cpu int           // on which it last ran
	ran time.Duration // when, on the clock of that CPU
}

// maxTimers bounds how many calls are followed at a time. Each costs some tens of microseconds when its thread is stopped, and three
// descriptors until then.
const maxTimers = 64

// newTimer begins to follow a thread's call, which returns to an address. It returns nil if that cannot be done.
func newTimer(tid int, returns arch.Addr) *timer {
	fd, e := countExecutions(tid, returns)
	if e != 0 {
		return nil
	}
	return &timer{returns: fd, sched: -1, stat: -1}
}

// begin makes ready to tell how long the thread, which is blocked in the call, has been there.
func (tm *timer) begin(p *Process, tid int, returns arch.Addr) {
	dir := "/proc/" + strconv.Itoa(p.PID) + "/task/" + strconv.Itoa(tid)
	var err1, err2 error
	tm.sched, err1 = unix.Open(dir+"/sched", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	tm.stat, err2 = unix.Open(dir+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	// It is blocked from here on, or has returned, which is counted. When it last ran is right for a thread that is blocked.
	in, err := p.syscallInfo(tid)
	ok := errors.Join(err, err1, err2) == nil && in.In && in.PC == returns
	if ok {
		tm.before, ok = tm.read()
	}
	if !ok {
		tm.end()
	}
}

// end forgets what begin has made.
func (tm *timer) end() {
	for _, fd := range []*int{&tm.sched, &tm.stat} {
		if *fd >= 0 {
			unix.Close(*fd)
		}
		*fd = -1
	}
}

// returned reports whether the thread has left the call, or may have.
func (tm *timer) returned() bool {
	var count [8]byte
	n, err := unix.Read(tm.returns, count[:])
	return err != nil || n != len(count) || count != [8]byte{}
}

// slept returns how long the thread was blocked before it was stopped. Preconditions: it is in the same call, and has been stopped
// once since begin.
func (tm *timer) slept() (time.Duration, bool) {
	if tm.sched < 0 {
		return 0, false
	}
	now, ok := tm.read()
	if !ok || now.cpu != tm.before.cpu || now.ran < tm.before.ran || tm.before.ran == 0 {
		return 0, false
	}
	return now.ran - tm.before.ran, true
}

// left returns how many whole milliseconds are left, rounded up, of a timeout of ms that began afresh now if nothing is known. known
// is false then.
func (tm *timer) left(ms int32) (left int32, known bool) {
	now := time.Now()
	known = true
	if tm.deadline.IsZero() {
		var waited time.Duration
		waited, known = tm.slept()
		tm.deadline = now.Add(time.Duration(ms)*time.Millisecond - waited)
		tm.end()
	}
	rest := max(0, tm.deadline.Sub(now)+time.Millisecond-1) / time.Millisecond
	tm.put = int32(min(rest, time.Duration(ms)))
	return tm.put, known
}

// follows reports whether a stopped thread that has ms in its register is in the call that is followed. A handler that left the call by
// longjmp(3) has not returned from it, but would have loaded the register anew.
func (tm *timer) follows(ms int32) bool {
	return !tm.returned() && (tm.deadline.IsZero() || ms == tm.put)
}

func (tm *timer) close() {
	tm.end()
	unix.Close(tm.returns)
}

// read reads both files. It allocates nothing.
func (tm *timer) read() (r lastRun, ok bool) {
	var b [1024]byte
	n, e := pread(tm.stat, b[:], 0)
	if e != 0 {
		return r, false
	}
	if r.cpu, ok = statCPU(b[:n]); !ok {
		return r, false
	}
	if n, e = pread(tm.sched, b[:], 0); e != 0 {
		return r, false
	}
	r.ran, ok = execStart(b[:n])
	return r, ok
}

// statCPU returns the processor of /proc/PID/stat, field 39 (proc_pid_stat(5)).
func statCPU(b []byte) (int, bool) {
	const processor = 39 - 3 // behind the name, which is field 2
	b = b[bytes.LastIndexByte(b, ')')+1:]
	for range processor + 1 {
		i := bytes.IndexByte(b, ' ')
		if i < 0 {
			return 0, false
		}
		b = b[i+1:]
	}
	return leadingInt(b)
}

// leadingInt returns the decimal number that b begins with.
func leadingInt(b []byte) (n int, ok bool) {
	const most = 1 << 50
	for _, c := range b {
		if c < '0' || c > '9' || n > most {
			break
		}
		n, ok = n*10+int(c-'0'), true
	}
	return n, ok
}

// execStart returns se.exec_start of the beginning of /proc/PID/sched: milliseconds with six digits behind the point.
func execStart(b []byte) (time.Duration, bool) {
	const digits = 6
	_, b, ok := bytes.Cut(b, []byte("\nse.exec_start"))
	b = bytes.TrimLeft(b, " ")
	if !ok || len(b) == 0 || b[0] != ':' {
		return 0, false
	}
	b = bytes.TrimLeft(b[1:], " ")
	point := bytes.IndexByte(b, '.')
	if point < 0 || len(b) < point+1+digits {
		return 0, false
	}
	ms, ok1 := leadingInt(b[:point])
	ns, ok2 := leadingInt(b[point+1:][:digits])
	return time.Duration(ms)*time.Millisecond + time.Duration(ns), ok1 && ok2
}
