package ptrace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// capSysPtrace is CAP_SYS_PTRACE of linux/capability.h.
const capSysPtrace = 19

// classify reads what the process is, and refuses what cannot be looked at.
func (p *Process) classify() (Stat, error) {
	if p.PID <= 0 {
		return Stat{}, p.fail("open", 0, ErrGone, "process ids are positive", nil)
	}
	if p.PID == os.Getpid() {
		return Stat{}, p.fail("open", 0, ErrSelf, "a process cannot trace itself", nil)
	}
	st, err := readStat(p.PID)
	if isGone(err) {
		return Stat{}, p.fail("open", 0, ErrGone, "", nil)
	} else if err != nil {
		return Stat{}, fmt.Errorf("open process %d: %w", p.PID, err)
	}
	status, err := readProc(p.PID, "status")
	if err != nil {
		return Stat{}, p.readError("open", err)
	}
	return st, p.classifyStat(&st, status)
}

// classifyStat judges what stat and status say.
func (p *Process) classifyStat(st *Stat, status []byte) error {
	if tgid := statusInt(status, "Tgid", p.PID); tgid != p.PID {
		if tgid == os.Getpid() {
			return p.fail("open", 0, ErrSelf, "a process cannot trace itself", nil)
		}
		e := p.fail("open", 0, ErrNotLeader, fmt.Sprintf("a thread of process %d", tgid), nil)
		e.Help = fmt.Sprintf("use %d", tgid)
		return e
	}
	switch {
	case st.Flags&pfKThread != 0:
		return p.fail("open", 0, ErrKernelThread, fmt.Sprintf("[%s] has no user memory", st.Comm), nil)
	case st.State == 'X' || st.State == 'Z' && st.NumThreads <= 1:
		e := p.fail("open", 0, ErrZombie, fmt.Sprintf("%s has ended", st.Comm), nil)
		e.Help = fmt.Sprintf("its parent %d has not collected it", st.PPID)
		return e
	case st.Flags&pfExiting != 0 && st.NumThreads <= 1:
		return p.fail("open", 0, ErrExited, fmt.Sprintf("%s is exiting", st.Comm), nil)
	}
	return p.permitted(status)
}

// untraced refuses a process that somebody else traces.
func (p *Process) untraced() error {
	status, err := readProc(p.PID, "status")
	if err != nil {
		return p.readError("open", err)
	}
	if tracer := statusInt(status, "TracerPid", 0); tracer != 0 {
		return p.tracedBy("open", tracer)
	}
	return nil
}

// tracedBy names the tracer.
func (p *Process) tracedBy(op string, tracer int) error {
	name := "?"
	if b, err := readProc(tracer, "comm"); err == nil {
		name = strings.TrimSpace(string(b))
	}
	e := p.fail(op, 0, ErrTraced, fmt.Sprintf("by process %d (%s)", tracer, name), nil)
	e.Help = fmt.Sprintf("end or detach %s first", name)
	return e
}

// permitted tries what needs the same rights as ptrace(2): opening /proc/PID/mem
// (PTRACE_MODE_ATTACH; "Ptrace access mode checking" in ptrace(2)). That of a main thread which has ended cannot
// be opened, so it tries all threads until one answers.
func (p *Process) permitted(status []byte) error {
	tids, err := p.tids()
	if err != nil {
		return p.readError("open", err)
	}
	for _, tid := range tids {
		f, err := os.Open(p.memPath(tid))
		switch {
		case err == nil:
			return f.Close()
		case errors.Is(err, fs.ErrPermission):
			return p.denied("open", status, err)
		case !isGone(err):
			return fmt.Errorf("open process %d: %w", p.PID, err)
		}
	}
	return p.fail("open", 0, ErrExited, "", nil)
}

// denied explains why the kernel does not permit tracing.
func (p *Process) denied(op string, status []byte, cause error) *Error {
	e := p.fail(op, 0, ErrPermission, "", cause)
	own, _ := os.ReadFile("/proc/self/status")
	uid, _ := StatusField(status, "Uid")
	e.Why, e.Help = whyDenied(strings.Fields(uid), os.Geteuid(), statusMask(own, "CapEff")&(1<<capSysPtrace) != 0, yamaScope())
	return e
}

// whyDenied says why a process may not be traced, and what would help. uids are the process's, real, effective, saved and of file
// systems; euid and capable (of CAP_SYS_PTRACE) are ours; scope is [yamaScope].
func whyDenied(uids []string, euid int, capable bool, scope string) (why, help string) {
	same := len(uids) >= 3
	for _, id := range uids[:min(3, len(uids))] {
		same = same && id == strconv.Itoa(euid)
	}
	switch {
	case capable && scope == "":
		return "CAP_SYS_PTRACE is there, but a security module or another user namespace forbids it", "look into the kernel's log for AppArmor or SELinux"
	case capable:
		return "CAP_SYS_PTRACE is there, but a security module, another user namespace or kernel.yama.ptrace_scope " + scope + " forbids it",
			"kernel.yama.ptrace_scope=3 cannot be lifted without a reboot; look into the kernel's log for AppArmor or SELinux"
	case !same:
		return fmt.Sprintf("it belongs to user %s, and this process, user %d, has no CAP_SYS_PTRACE", strings.Join(uids[:min(1, len(uids))], ""), euid),
			"run as root, or as that user"
	case scope != "0" && scope != "":
		return "kernel.yama.ptrace_scope is " + scope + " and this process has no CAP_SYS_PTRACE", "run as root, or: sysctl kernel.yama.ptrace_scope=0"
	}
	return "it holds capabilities or is not dumpable (prctl PR_SET_DUMPABLE), and this process has no CAP_SYS_PTRACE", "run as root"
}

// yamaScope returns kernel.yama.ptrace_scope, "" without Yama.
func yamaScope() string {
	b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
