package ptrace

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a handle on one running process. Its methods may be called from any
// goroutine; those that trace run one after the other.
type Process struct {
	PID       int
	StartTime uint64 // clock ticks after boot; with PID the identity of the process
	Comm      string // name of its main thread when it was opened

	log   *slog.Logger
	pidfd int

	borrowed atomic.Int64 // ns: the longest time that a thread was borrowed
	byWords  atomic.Bool  // a write went by words, see WritesWords
	pac      atomic.Pointer[PACMasks]

	mu     sync.Mutex // guards the next two
	tracer *tracer    // nil before the first use
	closed bool
}

// LongestBorrow is the longest time for which a thread of the target was kept from its own work by a Borrow.
func (p *Process) LongestBorrow() time.Duration { return time.Duration(p.borrowed.Load()) }

// WritesWords reports whether the kernel forbids forced writes through /proc/PID/mem (proc_mem.force_override, Linux 6.12), so that protected
// memory is written with PTRACE_POKEDATA, one aligned word of 8 bytes after the other. It is known once something has been written.
func (p *Process) WritesWords() bool { return p.byWords.Load() }

// ThreadInfo describes a thread without stopping it.
type ThreadInfo struct {
	TID     int
	Comm    string
	State   byte // as in /proc/PID/stat
	Syscall SyscallInfo
	NoUser  bool // a worker of the kernel (io_uring) that runs no user code
}

// Open takes hold of a process without touching it. It refuses what cannot be traced,
// saying why and what would help. log may be nil. The caller closes it.
func Open(pid int, log *slog.Logger) (*Process, error) {
	p, err := Look(pid, log)
	if err != nil {
		return nil, err
	}
	if err := p.untraced(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Look is Open for a process that is only read: somebody else may be tracing it.
func Look(pid int, log *slog.Logger) (*Process, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Process{PID: pid, log: log.With("component", "ptrace", "pid", pid), pidfd: -1}
	st, err := p.classify()
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, p.pidfdError(err)
	}
	p.pidfd, p.StartTime, p.Comm = fd, st.StartTime, st.Comm
	// The pidfd was taken after stat was read: it is the same process if the start time still is.
	if err := p.check("open"); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return p, nil
}

// pidfdError explains why pidfd_open(2) failed.
func (p *Process) pidfdError(err error) error {
	switch {
	case errors.Is(err, unix.ESRCH):
		return p.fail("open", 0, ErrGone, "", nil)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("open process %d: pidfd_open: %w; Linux 5.3 or newer is needed", p.PID, err)
	}
	return fmt.Errorf("open process %d: pidfd_open: %w", p.PID, err)
}

// check reports whether the process is still the one that was opened and is alive.
func (p *Process) check(op string) error {
	st, err := readStat(p.PID)
	switch {
	case isGone(err):
		return p.fail(op, 0, ErrExited, "", nil)
	case err != nil:
		return fmt.Errorf("%s process %d: %w", op, p.PID, err)
	case st.StartTime != p.StartTime:
		return p.fail(op, 0, ErrExited, "its number now belongs to another process", nil)
	case st.State == 'Z' && st.NumThreads <= 1 || st.State == 'X':
		return p.fail(op, 0, ErrExited, "not yet reaped by its parent", nil)
	case p.pidfd >= 0 && p.Ended(): // and the other began in the same clock tick
		return p.fail(op, 0, ErrExited, "its number now belongs to another process", nil)
	}
	return nil
}

// Ended reports whether the process has ended (all of its threads), at once and without a trace.
func (p *Process) Ended() bool {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// tids lists /proc/PID/task in increasing order.
func (p *Process) tids() ([]int, error) {
	d, err := os.Open("/proc/" + strconv.Itoa(p.PID) + "/task")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, len(names))
	for _, n := range names {
		if tid, err := strconv.Atoi(n); err == nil {
			out = append(out, tid)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Threads describes all threads without stopping any. A thread that ends meanwhile is left out.
func (p *Process) Threads() ([]ThreadInfo, error) {
	tids, err := p.tids()
	if err != nil {
		return nil, p.readError("threads", err)
	}
	out := make([]ThreadInfo, 0, len(tids))
	for _, tid := range tids {
		st, err := taskStat(p.PID, tid)
		if isGone(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("threads of process %d: thread %d: %w", p.PID, tid, err)
		}
		ti := ThreadInfo{TID: tid, Comm: st.Comm, State: st.State}
		ti.Syscall, err = p.syscallInfo(tid)
		if err != nil && st.State != 'Z' {
			continue
		}
		ti.NoUser = isWorker(st.Flags, ti.Syscall)
		out = append(out, ti)
	}
	return out, p.check("threads")
}

// syscallInfo reads /proc/PID/task/TID/syscall.
func (p *Process) syscallInfo(tid int) (SyscallInfo, error) {
	b, err := readTask(p.PID, tid, "syscall")
	if err != nil {
		return SyscallInfo{}, err
	}
	return ParseSyscall(b)
}

// syscallNR reads only the number of /proc/PID/task/TID/syscall: much faster, for all threads before each
// stop.
func (p *Process) syscallNR(tid int) (nr int, in bool) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.PID)+"/task/"+strconv.Itoa(tid)+"/syscall", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var b [8]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return 0, false
	}
	word, _, whole := strings.Cut(string(b[:n]), " ")
	nr, err = strconv.Atoi(word)
	return nr, whole && err == nil && nr >= 0
}

// isWorker reports whether a thread was made by the kernel inside the process and runs no
// user code: io_uring's workers and, since Linux 6.4, others. The second flag had another meaning
// before, so the registers have to be empty as well.
func isWorker(flags uint64, in SyscallInfo) bool {
	if flags&pfIOWorker != 0 {
		return true
	}
	return flags&pfUserWorker != 0 && in.Blocked && in.PC == 0 && in.SP == 0
}

// readError makes an error of a failed read below /proc.
func (p *Process) readError(op string, err error) error {
	if isGone(err) {
		return p.fail(op, 0, ErrExited, "", nil)
	}
	return fmt.Errorf("%s process %d: %w", op, p.PID, err)
}

// exiting reports whether no thread of the process will run user code again.
func (p *Process) exiting() bool {
	tids, err := p.tids()
	for _, tid := range tids {
		st, err := taskStat(p.PID, tid)
		if err == nil && st.Flags&pfExiting == 0 && st.State != 'Z' && st.State != 'X' {
			return false
		}
	}
	return err == nil || isGone(err)
}

// readLive reads a file of the process through a live thread: that of a main thread which has ended is
// empty while others live on.
func (p *Process) readLive(op, name string) ([]byte, error) {
	b, err := readTask(p.PID, p.PID, name)
	if err == nil && len(b) > 0 {
		return b, p.check(op)
	}
	tids, err2 := p.tids()
	if err2 != nil {
		return nil, p.readError(op, err2)
	}
	for _, tid := range tids {
		if b, err = readTask(p.PID, tid, name); err == nil && len(b) > 0 {
			return b, p.check(op)
		}
	}
	if err := p.check(op); err != nil {
		return nil, err
	}
	if err == nil { // all empty: no thread has memory any more
		return nil, p.fail(op, 0, ErrExited, "it is exiting", nil)
	}
	return nil, p.readError(op, fmt.Errorf("%s: %w", name, err))
}

// Maps returns the memory mappings in increasing order.
func (p *Process) Maps() ([]Mapping, error) {
	b, err := p.readLive("maps of", "maps")
	if err != nil {
		return nil, err
	}
	m, err := ParseMaps(b)
	if err != nil {
		return nil, p.readError("maps of", err)
	}
	return m, nil
}

// Auxv returns the auxiliary vector that the kernel gave the program, by AT_* type.
func (p *Process) Auxv() (map[uint64]uint64, error) {
	b, err := p.readLive("auxv of", "auxv")
	if err != nil {
		return nil, err
	}
	v, err := ParseAuxv(b)
	if err != nil {
		return nil, p.readError("auxv of", err)
	}
	return v, nil
}

// Close lets go of the process: it is detached, wherever it is, and runs on. Closing twice does nothing.
func (p *Process) Close() error {
	p.mu.Lock()
	tr := p.tracer
	was := p.closed
	p.closed, p.tracer = true, nil
	p.mu.Unlock()
	if was {
		return nil
	}
	var err error
	if tr != nil {
		err = tr.end()
	}
	return errors.Join(err, unix.Close(p.pidfd))
}
