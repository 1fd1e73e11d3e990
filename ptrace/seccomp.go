package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
)

// A thread under seccomp(2) has a stack of filters, classic BPF programs that answer each system call by its number,
// its arguments and the address of its instruction. A borrowed call is shown to them before it is made, here: what
// all of them allow is no danger to the thread. Otherwise they can be suspended for the thread (PTRACE_O_SUSPEND_SECCOMP),
// which needs CAP_SYS_ADMIN and ends with the tracer.

// FilterError is a system call that was not made in the target, because a seccomp filter would not allow it.
type FilterError struct {
	Call   string // name and arguments
	Action string // what the filter would have done: "KILL_PROCESS"
}

func (e *FilterError) Error() string {
	return fmt.Sprintf("in the target: %s: not made: a seccomp filter would answer it with %s", e.Call, e.Action)
}

// Unwrap makes errors.Is(err, ErrFiltered) true.
func (e *FilterError) Unwrap() error { return ErrFiltered }

// Actions of a filter, the upper half of what it returns (linux/seccomp.h). Of several filters' answers the
// lowest counts, as a signed number.
const (
	seccompKillProcess uint32 = 0x80000000
	seccompKillThread  uint32 = 0x00000000
	seccompTrap        uint32 = 0x00030000
	seccompErrno       uint32 = 0x00050000
	seccompUserNotif   uint32 = 0x7fc00000
	seccompTrace       uint32 = 0x7ff00000
	seccompLog         uint32 = 0x7ffc0000
	seccompAllow       uint32 = 0x7fff0000
	seccompAction      uint32 = 0xffff0000 // mask of the action; the rest is data
)

// verdict is what a thread's filters answer to one system call.
type verdict uint32

// allows reports that the call is made as if there were no filter.
func (v verdict) allows() bool {
	a := uint32(v) & seccompAction
	return a == seccompAllow || a == seccompLog
}

// errno is the error that the call fails with, without being made; 0 if the filters answer otherwise.
func (v verdict) errno() syscall.Errno {
	const most = 4095 // MAX_ERRNO
	if uint32(v)&seccompAction != seccompErrno {
		return 0
	}
	return syscall.Errno(min(uint32(v)&^seccompAction, most))
}

func (v verdict) String() string {
	switch uint32(v) & seccompAction {
	case seccompKillProcess:
		return "KILL_PROCESS"
	case seccompKillThread:
		return "KILL_THREAD"
	case seccompTrap:
		return "TRAP"
	case seccompErrno:
		return fmt.Sprintf("ERRNO (%s)", unix.ErrnoName(v.errno()))
	case seccompUserNotif:
		return "USER_NOTIF"
	case seccompTrace:
		return "TRACE"
	case seccompLog:
		return "LOG"
	case seccompAllow:
		return "ALLOW"
	}
	return fmt.Sprintf("%#x, which kernels take for KILL_PROCESS", uint32(v))
}

// judge asks all filters about one call of this machine's ABI. at is the address behind the syscall instruction.
func judge(filters []filterProgram, nr uintptr, args [6]uint64, at arch.Addr) (verdict, error) {
	var data seccompData
	order := binary.NativeEndian
	order.PutUint32(data[0:], uint32(nr))
	order.PutUint32(data[4:], auditArch)
	order.PutUint64(data[8:], uint64(at))
	for i, a := range args {
		order.PutUint64(data[16+8*i:], a)
	}
	least := seccompAllow
	for _, f := range filters {
		v, err := f.run(&data)
		if err != nil {
			return 0, err
		}
		if int32(v&seccompAction) < int32(least&seccompAction) {
			least = v
		}
	}
	return verdict(least), nil
}

// errStrict says that a thread is in the mode without filters that allows read, write and exit only.
var errStrict = errors.New("it is in seccomp's strict mode")

// maxFilters bounds how many filters of a thread are read. The kernel bounds their instructions together
// (MAX_INSNS_PER_PATH, 32,768).
const maxFilters = 32768 / 4

// filtersOf reads the filters of a stopped thread. It needs CAP_SYS_ADMIN, and that this process has no filter itself
// (PTRACE_SECCOMP_GET_FILTER in ptrace(2)).
func (tr *tracer) filtersOf(t *tracee) ([]filterProgram, error) {
	status, err := readTask(tr.p.PID, t.tid, "status")
	if err != nil {
		return nil, err
	}
	const strict = 1 // SECCOMP_MODE_STRICT
	if statusInt(status, "Seccomp", 0) == strict {
		return nil, errStrict
	}
	var out []filterProgram
	for len(out) < maxFilters {
		f, e := seccompFilter(t.tid, len(out))
		switch e {
		case 0:
			out = append(out, f)
		case unix.ENOENT:
			return out, nil
		case unix.EACCES:
			return nil, errors.New("reading its filters needs CAP_SYS_ADMIN, and no filter on hotpatch itself")
		case unix.EIO:
			return nil, errors.New("this kernel does not show filters (CONFIG_CHECKPOINT_RESTORE)")
		default:
			return nil, fmt.Errorf("PTRACE_SECCOMP_GET_FILTER: %w", e)
		}
	}
	return nil, fmt.Errorf("it has more than %d filters", maxFilters)
}

// suspendFilters switches a stopped thread's seccomp off, or on again. Off lasts as long as the thread is traced.
func suspendFilters(tid int, off bool) error {
	opts := uintptr(seizeOptions)
	if off {
		opts |= unix.PTRACE_O_SUSPEND_SECCOMP
	}
	switch e := ptrace(unix.PTRACE_SETOPTIONS, tid, 0, opts); e {
	case 0:
		return nil
	case unix.EPERM:
		return errors.New("suspending its filters needs CAP_SYS_ADMIN, and no filter on hotpatch itself")
	case unix.EINVAL:
		return errors.New("this kernel does not suspend filters (CONFIG_CHECKPOINT_RESTORE)")
	default:
		return fmt.Errorf("PTRACE_SETOPTIONS: %w", e)
	}
}

// borrowedCalls are the calls without which nothing is staged in a process, with arguments like those that are used. The
// others have a substitute.
var borrowedCalls = []struct {
	name string
	nr   uintptr
	args [6]uint64
}{
	{"mmap", unix.SYS_MMAP, [6]uint64{1 << 32, 4096, unix.PROT_READ | unix.PROT_EXEC,
		unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED_NOREPLACE, ^uint64(0), 0}},
	{"munmap", unix.SYS_MUNMAP, [6]uint64{1 << 32, 4096}},
}

// passFilters prepares a stopped thread that has filters for being borrowed in a way.
func (tr *tracer) passFilters(t *tracee, how way) refusal {
	if how == suspended {
		if err := suspendFilters(t.tid, true); err != nil {
			return refusal{why: fmt.Sprintf("has a seccomp filter: %v", err)}
		}
		t.suspended = true
		return refusal{}
	}
	filters, err := tr.filtersOf(t)
	if err != nil {
		return refusal{fmt.Sprintf("has a seccomp filter, and what it allows is not known: %v", err), true}
	}
	pl, _ := tr.placeFor(t.regs.PC())
	for _, c := range borrowedCalls {
		v, err := judge(filters, c.nr, c.args, pl.addr+arch.Addr(len(syscallInst)))
		if err != nil {
			return refusal{fmt.Sprintf("has a seccomp filter that cannot be followed: %v", err), true}
		}
		if !v.allows() {
			return refusal{fmt.Sprintf("has a seccomp filter that would answer %s with %v", c.name, v), true}
		}
	}
	t.filters = filters
	return refusal{}
}

// permit asks the thread's filters about a call that is about to be made. text describes it.
func (r *Remote) permit(text string, nr uintptr, args [6]uint64) error {
	if len(r.t.filters) == 0 {
		return nil
	}
	v, err := judge(r.t.filters, nr, args, r.place.addr+arch.Addr(len(syscallInst)))
	switch {
	case err != nil:
		return fmt.Errorf("%s: not made: seccomp filter: %w", text, err)
	case v.allows():
		return nil
	case v.errno() != 0:
		return &CallError{Call: text, Err: v.errno()}
	}
	return &FilterError{Call: text, Action: v.String()}
}

// Suspended reports whether the thread's seccomp filters are suspended while it is borrowed.
func (r *Remote) Suspended() bool { return r.t.suspended }

// AllFiltered reports whether every thread of the process is under seccomp, without stopping any.
func (p *Process) AllFiltered() (bool, error) {
	tids, err := p.tids()
	if err != nil {
		return false, p.readError("threads of", err)
	}
	for _, tid := range tids {
		st, err := taskStat(p.PID, tid)
		if err != nil || st.State == 'Z' {
			continue // it has ended
		}
		if !p.filtered(tid) {
			return false, nil
		}
	}
	return true, p.check("threads of")
}
