//go:build hotpatch_sweep

package ptrace

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A program that was built with the tag hotpatch_sweep, which is for tests only, counts the instants before and behind
// its operations on the target, from 1: ptrace requests, writes to memory, and the reaping of threads. Its environment
// says what is to happen at one of them:
//
//	HOTPATCH_READS=1       the instants before reads of memory count, too
//	HOTPATCH_KILL_AT=N     it kills itself
//	HOTPATCH_SPARE=T,T...  it does so later, as long as one of these threads has been interrupted, and not been given its registers back
//	HOTPATCH_AT=N          it writes a line "N NAME" to descriptor 3 and waits for one on descriptor 4, "ERRNO FAILS
//	                       NEXT KILL": from here on, FAILS operations are not performed and give ERRNO; it waits again at NEXT,
//	                       and kills itself at KILL (0: never)
//	HOTPATCH_PROBES=FILE   the name of every instant is written to FILE, one a line
type probing struct {
	once   sync.Once
	lock   sync.Mutex // guards the rest; held while the program waits
	reads  bool
	count  int
	killAt int
	holdAt int
	errno  syscall.Errno
	fails  int // operations that are still to fail
	spare  []string
	open   []uintptr // those of spare that are interrupted
	trace  *os.File
	out    *os.File
	in     *os.File
}

// probes is the one piece of state that this build has: what it counts is the whole program's.
var probes probing

func (s *probing) start() {
	s.reads = os.Getenv("HOTPATCH_READS") != ""
	s.killAt, _ = strconv.Atoi(os.Getenv("HOTPATCH_KILL_AT"))
	s.spare = strings.Split(os.Getenv("HOTPATCH_SPARE"), ",")
	s.holdAt, _ = strconv.Atoi(os.Getenv("HOTPATCH_AT"))
	if path := os.Getenv("HOTPATCH_PROBES"); path != "" {
		s.trace, _ = os.Create(path)
	}
	if s.holdAt > 0 {
		s.out, s.in = os.NewFile(3, "probe"), os.NewFile(4, "answer")
	}
}

// requests are the names of ptrace requests in traces (sys/ptrace.h, without PTRACE_).
var requests = map[int]string{
	unix.PTRACE_PEEKDATA: "PEEKDATA", unix.PTRACE_POKEDATA: "POKEDATA", unix.PTRACE_CONT: "CONT", unix.PTRACE_DETACH: "DETACH",
	unix.PTRACE_SYSCALL: "SYSCALL", unix.PTRACE_GETEVENTMSG: "GETEVENTMSG", unix.PTRACE_GETSIGINFO: "GETSIGINFO",
	unix.PTRACE_GETREGSET: "GETREGSET", unix.PTRACE_SETREGSET: "SETREGSET", unix.PTRACE_SEIZE: "SEIZE",
	unix.PTRACE_INTERRUPT: "INTERRUPT", unix.PTRACE_LISTEN: "LISTEN", unix.PTRACE_GET_RSEQ_CONFIGURATION: "RSEQ",
	unix.PTRACE_SECCOMP_GET_FILTER: "SECCOMP_GET_FILTER", unix.PTRACE_SETOPTIONS: "SETOPTIONS",
	unix.PTRACE_SETSIGINFO: "SETSIGINFO", unix.PTRACE_GET_SYSCALL_INFO: "GET_SYSCALL_INFO",
}

// named is an instant's name in a trace: "before GETREGSET 4711", "after write 5 0x55d0c0ffee00".
func named(when, op string, what int, where uintptr) string {
	if op != "ptrace" {
		return fmt.Sprintf("%s %s %d %#x", when, op, what, where)
	}
	name := requests[what]
	if name == "" {
		name = fmt.Sprintf("%#x", what)
	}
	return fmt.Sprintf("%s %s %d", when, name, where)
}

// before counts the instant before an operation. An errno says that it is not to be performed. what is the ptrace
// request or the number of bytes, where the thread or the address.
func before(op string, what int, where uintptr) syscall.Errno {
	s := &probes
	s.once.Do(s.start)
	s.lock.Lock()
	defer s.lock.Unlock()
	if op == "read" && !s.reads {
		return 0
	}
	struck := s.pass("before", op, what, where)
	if s.fails == 0 || op == "reap" || !struck && op == "ptrace" && slices.Contains(releases[:], what) {
		return 0
	}
	s.fails--
	return s.errno
}

// after counts the instant behind an operation.
func after(op string, what int, where uintptr) {
	s := &probes
	s.lock.Lock()
	defer s.lock.Unlock()
	s.pass("after", op, what, where)
}

// releases are the requests that let a thread go. The kernel never denies them, so they fail only where a test
// strikes them by themselves; reaping never does.
var releases = [...]int{unix.PTRACE_CONT, unix.PTRACE_LISTEN, unix.PTRACE_DETACH}

// pass counts an instant, and reports whether the program has waited there.
func (s *probing) pass(when, op string, what int, where uintptr) bool {
	s.count++
	if s.trace != nil {
		fmt.Fprintln(s.trace, named(when, op, what, where))
	}
	if when == "after" && op == "ptrace" {
		s.interrupted(what, where)
	}
	switch {
	case s.killAt != 0 && s.count >= s.killAt && len(s.open) == 0:
		unix.Kill(unix.Getpid(), unix.SIGKILL)
	case s.count == s.holdAt:
		fmt.Fprintln(s.out, s.count, named(when, op, what, where))
		var errno int
		if _, err := fmt.Fscanln(s.in, &errno, &s.fails, &s.holdAt, &s.killAt); err != nil {
			panic(err) // whoever was to answer is gone
		}
		s.errno = syscall.Errno(errno)
		return true
	}
	return false
}

// interrupted follows which threads to be spared are interrupted.
func (s *probing) interrupted(request int, tid uintptr) {
	at := slices.Index(s.open, tid)
	switch {
	case request == unix.PTRACE_INTERRUPT && at < 0 && slices.Contains(s.spare, strconv.Itoa(int(tid))):
		s.open = append(s.open, tid)
	case at >= 0 && slices.Contains([]int{unix.PTRACE_SETREGSET, unix.PTRACE_CONT, unix.PTRACE_SYSCALL, unix.PTRACE_LISTEN, unix.PTRACE_DETACH}, request):
		s.open = slices.Delete(s.open, at, at+1)
	}
}
