package ptrace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// The tests here kill a process that borrows a thread, before and after each of its ptrace requests and of its writes to
// the target's memory in turn. The thread goes on by itself each time; the victims check what it sees. An emulated machine gets round to a part
// of the instants, another one for each thread.

const (
	envBorrow = "HOTPATCH_TEST_BORROW" // "PID TID": what the killed process is to borrow
	envKillAt = "HOTPATCH_KILL_AT"     // see probe_sweep.go
	envProbes = "HOTPATCH_PROBES"
)

// TestBorrowToBeKilled is the process that is killed. By itself it borrows from a victim of its own.
func TestBorrowToBeKilled(t *testing.T) {
	var pid, tid int
	if _, err := fmt.Sscan(os.Getenv(envBorrow), &pid, &tid); err != nil {
		v := victim.Start(t, build(t, "threads.c"))
		pid, tid = v.PID, v.PID
	}
	p := open(t, pid)
	if err := p.BorrowWith(BorrowOptions{TID: tid}, borrowMuch); err != nil {
		t.Fatal(err)
	}
}

// borrowMuch makes the calls of an apply, and undoes them.
func borrowMuch(r *Remote) error {
	const size = 8192
	fd, err := r.MemfdCreate(unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if err := r.Ftruncate(fd, size); err != nil {
		return err
	}
	at, err := r.Mmap(0, size, unix.PROT_READ, unix.MAP_PRIVATE, fd, 0)
	if err := errors.Join(err, r.CloseFD(fd)); err != nil {
		return err
	}
	return errors.Join(r.Write(at, []byte("written")), r.Munmap(at, size))
}

// sweeper is this package's test program, built so that it kills itself.
type sweeper struct {
	t    *testing.T
	path string
}

func newSweeper(t *testing.T) *sweeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sweep.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "hotpatch_sweep", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return &sweeper{t, path}
}

// run borrows a thread, killing itself at a probe (from 1; 0: never), and reports whether it came so far.
func (s *sweeper) run(pid, tid, at int, env ...string) (killed bool) {
	s.t.Helper()
	cmd := exec.Command(s.path, "-test.run", "^TestBorrowToBeKilled$")
	cmd.Env = append(append(os.Environ(), env...), fmt.Sprintf("%s=%d %d", envBorrow, pid, tid), envKillAt+"="+strconv.Itoa(at))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		s.t.Fatalf("borrow thread %d, to be killed at probe %d: %v\n%s", tid, at, err, out)
	}
	return false
}

// probes returns the names of the probes that a borrowing of the thread passes.
func (s *sweeper) probes(pid, tid int) []string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "probes")
	if s.run(pid, tid, 0, envProbes+"="+path) {
		s.t.Fatal("killed without being told to")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	names := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	const least = 60 // six calls, each with five requests at least
	if len(names) < least {
		s.t.Fatalf("only %d probes: %q", len(names), names)
	}
	return names
}

// untouched fails unless nobody traces the process and it has n threads.
func untouched(t *testing.T, v *victim.Victim, n int) {
	t.Helper()
	if by := tracerOf(t, v.PID); by != 0 {
		t.Errorf("traced by %d after its tracer's death", by)
	}
	if s := states(t, v.PID); len(s) != n || strings.ContainsAny(s, "tTZ") {
		t.Errorf("states %q, want %d living threads", s, n)
	}
}

func threadsOf(t *testing.T, pid int) []ThreadInfo {
	t.Helper()
	threads, err := open(t, pid).Threads()
	if err != nil {
		t.Fatal(err)
	}
	return threads
}

// TestKilledKeepsRegisters: the borrowed thread spins with patterns in all registers, or sleeps with them in
// nanosleep (a restart block) or read (a plain restart). It does so on, and finds them.
func TestKilledKeepsRegisters(t *testing.T) {
	s := newSweeper(t)
	v := victim.Start(t, build(t, "hold.c"), "4")
	threads := threadsOf(t, v.PID)
	rounds := func() int { // of the slowest thread
		n, err := strconv.Atoi(strings.Fields(askOK(t, v, "sum"))[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	deaths := 0
	for kind, th := range threads[1:] {
		n := len(s.probes(v.PID, th.TID))
		stride := victim.Scale(1, 6)
		if kind == 2 { // spins like the first
			stride *= 4
		}
		for at := 1 + kind%stride; at <= n && !t.Failed(); at += stride {
			if s.run(v.PID, th.TID, at) {
				deaths++
			}
			before := rounds()
			eventually(t, "all threads go round again", func() bool { return rounds() >= before+2 })
			untouched(t, v, len(threads))
		}
	}
	t.Log(deaths, "deaths")
}

// TestKilledInBlockingCalls: the borrowed thread sleeps in one of all calls that block, and sees no EINTR and
// no early return. Every thread meets every stride-th probe. The calls that return a plain EINTR on any stop are
// excepted until they have been repaired: that cannot be helped. It holds for those of other threads as well, which are stopped to see whether they
// have left what earlier deaths have left behind.
func TestKilledInBlockingCalls(t *testing.T) {
	stride := victim.Scale(5, 50)
	s := newSweeper(t)
	v := victim.Start(t, build(t, "calls.c"))
	p := open(t, v.PID)
	threads, err := p.Threads()
	if err != nil {
		t.Fatal(err)
	}
	var spare []string
	calls := make([]SyscallInfo, len(threads))
	for i, th := range threads {
		eventually(t, "sits in its call", func() (in bool) {
			calls[i], _ = p.syscallInfo(th.TID)
			return calls[i].In
		})
		if slices.ContainsFunc(interruptibles[:], func(c interruptible) bool { return c.nr == calls[i].NR }) {
			spare = append(spare, strconv.Itoa(th.TID))
		}
	}
	deaths := 0
	for i, th := range threads {
		probes := s.probes(v.PID, th.TID)
		for at := 1 + i%stride; at <= len(probes); at += stride {
			if s.run(v.PID, th.TID, at, "HOTPATCH_SPARE="+strings.Join(spare, ",")) {
				deaths++
			}
			if strings.Contains(states(t, v.PID), "Z") || !v.Alive() {
				t.Fatalf("thread %d (call %d), killed at %d, %s: %s", i, calls[i].NR, at, probes[at-1], v.Line())
			}
		}
		untouched(t, v, len(threads))
	}
	t.Log(deaths, "deaths;", askOK(t, v, "finish"))
}

// TestKilledUnderSignals: the borrowed thread takes signals all the time, which may interrupt the stub.
func TestKilledUnderSignals(t *testing.T) {
	s := newSweeper(t)
	v := victim.Start(t, build(t, "signals.c"))
	n := len(s.probes(v.PID, v.PID))
	total, deaths := 0, 0
	for at := 1; at <= n; at += victim.Scale(1, 5) {
		if s.run(v.PID, v.PID, at) {
			deaths++
		}
		before := total
		eventually(t, fmt.Sprintf("signals after a death at %d", at), func() bool {
			total = countSignals(t, v)
			return total > before
		})
	}
	t.Log(deaths, "deaths;", total, "signals")
}

// TestStubsAreReclaimed leaves more stubs behind than there is room for. Later ones take the places of those that
// nobody is in.
func TestStubsAreReclaimed(t *testing.T) {
	s := newSweeper(t)
	v := victim.Start(t, build(t, "threads.c", "-static", "-DPAD=1536"), "2", "1")
	probes := s.probes(v.PID, v.PID)
	stub := fmt.Sprintf("after write %d ", stubLen)
	at := 1 + slices.IndexFunc(probes, func(name string) bool { return strings.HasPrefix(name, stub) })
	room := 0
	for _, tl := range tailsOf(t, v.PID) {
		room += int(tl.end-tl.start) / stubLen
	}
	if at == 0 || room == 0 {
		t.Fatalf("no stub is written: %q; room for %d", probes, room)
	}
	for range room + 5 {
		if !s.run(v.PID, v.PID, at) {
			t.Fatal("not killed")
		}
		askOK(t, v, "sum")
	}
	if err := open(t, v.PID).Borrow(borrowMuch); err != nil {
		t.Error(err)
	}
	t.Log("room for", room)
}

// tailsOf finds the tails of a process.
func tailsOf(t *testing.T, pid int) []tail {
	t.Helper()
	var out []tail
	err := open(t, pid).do("test", func(tr *tracer) (err error) {
		out, err = tr.tails()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTailsAreUnused compares the tails with the symbols of the program that objdump finds behind them: a borrowing leaves no
// byte of an executable mapping changed, and every tail lies in the last page of one.
func TestTailsAreUnused(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "2", "1")
	p := open(t, v.PID)
	before := executable(t, p)
	tails := tailsOf(t, v.PID)
	if len(tails) < 3 { // the program, the C library, the dynamic linker
		t.Fatalf("tails %+v", tails)
	}
	for _, tl := range tails {
		if tl.start >= tl.end || tl.end-tl.start >= arch.Addr(os.Getpagesize()) || tl.end%arch.Addr(os.Getpagesize()) != 0 || tl.start%stubAlign != 0 {
			t.Errorf("tail %#x to %#x", uint64(tl.start), uint64(tl.end))
		}
	}
	if err := p.Borrow(borrowMuch); err != nil {
		t.Fatal(err)
	}
	for path, text := range executable(t, p) {
		if text != before[path] {
			t.Errorf("%s differs after a borrowing", path)
		}
	}
}

// executable reads all executable mappings, by address and path.
func executable(t *testing.T, p *Process) map[string]string {
	t.Helper()
	maps, err := p.Maps()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, m := range maps {
		if m.Perm&PermExec == 0 || m.Path == "[vsyscall]" {
			continue
		}
		b := make([]byte, m.End-m.Start)
		if err := p.ReadMem(b, m.Start); err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf("%#x %s", uint64(m.Start), m.Path)] = string(b)
	}
	return out
}
