package ptrace

import (
	"bytes"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper measures how long a thread has been blocked, by the scheduler's own clock. The kernel notes when a thread last
// ran (se.exec_start in /proc/PID/task/TID/sched: kernel/sched/debug.c), and once more when it is woken, to be
// stopped. The difference is the time between, less the time that its CPU spent on interrupts: never too much. Each CPU has a
// clock of its own, so nothing is known of a thread that was woken on another one.
type sleeper struct {
	sched, stat int // descriptors of /proc/PID/task/TID/...
	cpu         int
	ran         time.Duration // on the CPU's clock, when it last ran
}

// maxSleepers bounds how many threads are measured in one stop: each costs some tens of microseconds of it.
const maxSleepers = 64

// openSleeper begins to measure a thread that is blocked now. ok is false if the kernel does not tell.
func openSleeper(pid, tid int) (s *sleeper, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid)
	s = &sleeper{sched: -1, stat: -1}
	var err error
	if s.sched, err = unix.Open(dir+"/sched", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, false
	}
	if s.stat, err = unix.Open(dir+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		s.close()
		return nil, false
	}
	if s.ran, s.cpu, ok = s.read(); !ok || s.ran == 0 {
		s.close()
		return nil, false
	}
	return s, true
}

// slept returns how long the thread was blocked. Preconditions: it has been stopped since openSleeper.
func (s *sleeper) slept() (d time.Duration, ok bool) {
	ran, cpu, ok := s.read()
	return ran - s.ran, ok && cpu == s.cpu && ran >= s.ran
}

func (s *sleeper) close() {
	for _, fd := range []int{s.sched, s.stat} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	s.sched, s.stat = -1, -1
}

// read reads both files. It allocates nothing.
func (s *sleeper) read() (ran time.Duration, cpu int, ok bool) {
	var b [1024]byte
	n, e := pread(s.stat, b[:], 0)
	if e != 0 {
		return 0, 0, false
	}
	if cpu, ok = statCPU(b[:n]); !ok {
		return 0, 0, false
	}
	if n, e = pread(s.sched, b[:], 0); e != 0 {
		return 0, 0, false
	}
	ran, ok = execStart(b[:n])
	return ran, cpu, ok
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

// execStart returns se.exec_start of /proc/PID/sched: milliseconds with six digits behind the point.
func execStart(b []byte) (time.Duration, bool) {
	_, b, ok := bytes.Cut(b, []byte("\nse.exec_start"))
	if !ok {
		return 0, false
	}
	b = bytes.TrimLeft(b, " ")
	if len(b) == 0 || b[0] != ':' {
		return 0, false
	}
	b = bytes.TrimLeft(b[1:], " ")
	point := bytes.IndexByte(b, '.')
	const digits = 6
	if point < 0 || len(b) < point+1+digits {
		return 0, false
	}
	ms, ok1 := leadingInt(b[:point])
	ns, ok2 := leadingInt(b[point+1:][:digits])
	return time.Duration(ms)*time.Millisecond + time.Duration(ns), ok1 && ok2
}
