package ptrace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

func TestOpenRefusals(t *testing.T) {
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	zombie := exec.Command("/bin/true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	eventually(t, "zombie", func() bool { return states(t, zombie.Process.Pid) == "Z" })
	v := victim.Start(t, build(t, "threads.c"), "1", "0")
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(v.PID) + "/task/*")
	if err != nil {
		t.Fatal(err)
	}
	tid, _ := strconv.Atoi(filepath.Base(threads[len(threads)-1]))

	tests := []struct {
		name string
		pid  int
		want error
		says string
	}{
		{name: "gone", pid: gone.Process.Pid, want: ErrGone},
		{name: "zero", pid: 0, want: ErrGone},
		{name: "zombie", pid: zombie.Process.Pid, want: ErrZombie, says: "its parent " + strconv.Itoa(os.Getpid())},
		{name: "kernel thread", pid: kernelThread(t), want: ErrKernelThread, says: "no user memory"},
		{name: "self", pid: os.Getpid(), want: ErrSelf},
		{name: "thread", pid: tid, want: ErrNotLeader, says: "use " + strconv.Itoa(v.PID)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Open(tt.pid, nil)
			if p != nil {
				t.Error("process is not nil")
			}
			wantKind(t, err, tt.want, tt.says)
		})
	}
}

// kernelThread finds a process without an executable whose stat has PF_KTHREAD: kthreadd is 2 outside of PID
// namespaces. In a namespace without one the test cannot be made, and fails saying so.
func kernelThread(t *testing.T) int {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if st, err := ParseStat(b); err == nil && st.Flags&pfKThread != 0 {
			return st.PID
		}
	}
	t.Fatal("no kernel thread is visible; run outside of a PID namespace")
	return 0
}

// TestNotPermitted runs this test's program as another user, who opens a process of root's.
func TestNotPermitted(t *testing.T) {
	const env = "HOTPATCH_TEST_OPEN"
	if pid, err := strconv.Atoi(os.Getenv(env)); err == nil {
		_, err := Open(pid, nil)
		wantKind(t, err, ErrPermission, "belongs to user 0", "run as root")
		return
	}
	const uid = 65534 // "nobody", where users have names
	v := victim.Start(t, build(t, "threads.c"))
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(os.TempDir(), "hotpatch-permitted-"+strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(copied, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(copied)
	cmd := exec.Command(copied, "-test.run", "^TestNotPermitted$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), env+"="+strconv.Itoa(v.PID))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestNotPermitted") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestWhyDenied: what is said where the kernel does not permit it. Yama and other security modules are not in every kernel.
func TestWhyDenied(t *testing.T) {
	root, own := []string{"0", "0", "0", "0"}, []string{"7", "7", "7", "7"}
	tests := []struct {
		name      string
		uids      []string
		capable   bool
		scope     string
		why, help string
	}{
		{name: "another user's", uids: root, scope: "0", why: "belongs to user 0, and this process, user 7", help: "as that user"},
		{name: "set-user-ID program", uids: []string{"7", "0", "0", "0"}, why: "belongs to user 7", help: "run as root"},
		{name: "Yama: only descendants", uids: own, scope: "1", why: "ptrace_scope is 1", help: "sysctl kernel.yama.ptrace_scope=0"},
		{name: "Yama: only administrators", uids: own, scope: "2", why: "ptrace_scope is 2", help: "run as root"},
		{name: "Yama: nobody", uids: own, capable: true, scope: "3", why: "ptrace_scope 3 forbids it", help: "without a reboot"},
		{name: "not dumpable", uids: own, scope: "0", why: "not dumpable", help: "run as root"},
		{name: "not dumpable, without Yama", uids: own, why: "not dumpable", help: "run as root"},
		{name: "a security module", uids: own, capable: true, why: "a security module or another user namespace", help: "kernel's log"},
		{name: "nothing is known", why: "belongs to user ", help: "run as root"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if why, help := whyDenied(tt.uids, 7, tt.capable, tt.scope); !strings.Contains(why, tt.why) || !strings.Contains(help, tt.help) {
				t.Errorf("%q; %q", why, help)
			}
		})
	}
}

// TestNumberReused: a process that has ended is not taken for the one that has got its number.
func TestNumberReused(t *testing.T) {
	const next = "/proc/sys/kernel/ns_last_pid" // the next process gets the number behind it
	program := build(t, "threads.c")            // once, as the compiler that is asked takes numbers, too
	first := victim.Start(t, program)
	p := open(t, first.PID)
	first.Send("quit")
	first.End()
	wantKind(t, p.Seize(), ErrExited)
	for tries := 0; ; tries++ {
		before := first.PID - 1 - tries%4 // threads of this program, and others, take numbers too
		if err := os.WriteFile(next, []byte(strconv.Itoa(before)), 0); err != nil {
			t.Fatal(err)
		}
		v := victim.Start(t, program)
		if v.PID == first.PID {
			break
		}
		v.Send("quit")
		v.End()
		if tries == 1000 {
			t.Fatal("the number is not given again")
		}
	}
	wantKind(t, p.Seize(), ErrExited, "its number now belongs to another process")
	wantKind(t, p.Borrow(borrowPage), ErrExited, "its number now belongs to another process")
	_, err := p.Maps()
	wantKind(t, err, ErrExited, "its number now belongs to another process")
	if n := tracerOf(t, first.PID); n != 0 {
		t.Errorf("the other process is traced by %d", n)
	}
}

func TestTwoTracers(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "3", "0")
	first := open(t, v.PID)
	second := open(t, v.PID)
	if err := first.Seize(); err != nil {
		t.Fatal(err)
	}
	self := filepath.Base(os.Args[0])
	self = self[:min(8, len(self))]
	wantKind(t, second.Seize(), ErrTraced, self)
	_, err := Open(v.PID, nil)
	wantKind(t, err, ErrTraced, "by process", "end or detach")
	stops(t, first, 1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if n := tracerOf(t, v.PID); n != 0 {
		t.Errorf("still traced by %d after Close", n)
	}
	stops(t, second, 3)
	askOK(t, v, "sum")
}

func TestEndedMainThread(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "leader")
	eventually(t, "main thread is a zombie", func() bool { return strings.HasPrefix(states(t, v.PID), "Z") })
	p := open(t, v.PID)
	maps, err := p.Maps()
	if err != nil || len(maps) == 0 {
		t.Fatalf("%d mappings, %v", len(maps), err)
	}
	var b [8]byte
	if err := p.ReadMem(b[:], maps[0].Start); err != nil {
		t.Fatal(err)
	}
	stops(t, p, 10)
	if err := p.Borrow(borrowPage); err != nil {
		t.Fatal(err)
	}
	stats, err := p.Stop(StopOptions{}, noop)
	if err != nil || stats.Threads != 1 {
		t.Fatalf("%+v %v, want one thread", stats, err)
	}
	askOK(t, v, "x")
}

func TestVforkParentIsWaitedFor(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "vfork")
	p := open(t, v.PID)
	if err := p.Seize(); err != nil {
		t.Fatal(err)
	}
	if got := v.Ask("go"); got != "forked" {
		t.Fatal(got)
	}
	_, err := p.Stop(StopOptions{Deadline: time.Now().Add(50 * time.Millisecond)}, noop)
	wantKind(t, err, ErrShared, "shares its memory", "vfork")
	// Meanwhile the rest has not been stopped.
	if s := states(t, v.PID); strings.Contains(s, "t") {
		t.Errorf("states %q", s)
	}
	threads, err := p.Threads()
	if err != nil || len(threads) != 2 {
		t.Fatalf("%v %v", threads, err)
	}
	err = p.BorrowWith(BorrowOptions{TID: threads[1].TID}, borrowPage)
	wantKind(t, err, ErrNoThread, "uninterruptible sleep")
	if err := p.Borrow(borrowPage); err != nil { // another
		t.Fatal(err)
	}
	if got := v.Ask("end"); got != "joined" {
		t.Fatal(got)
	}
	stops(t, p, 2)
}

func TestRestartableSequenceIsNotBorrowed(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "rseq")
	p := open(t, v.PID)
	threads, err := p.Threads()
	if err != nil || len(threads) != 2 {
		t.Fatalf("%v %v", threads, err)
	}
	refused := 0
	for range 100 {
		// It is not in the sequence all the time; where it is not, it may be borrowed.
		if err = p.BorrowWith(BorrowOptions{TID: threads[1].TID}, borrowPage); err != nil {
			wantKind(t, err, ErrNoThread, "is in a restartable sequence")
			refused++
		}
	}
	if refused == 0 {
		t.Error("borrowed in each of 100 tries, though it nearly always is in a restartable sequence")
	}
	if err := p.Borrow(borrowPage); err != nil { // the other one
		t.Fatal(err)
	}
	askOK(t, v, "x")
}

func TestWorkersOfIOUring(t *testing.T) {
	v := victim.Start(t, build(t, "odd.c"), "uring")
	p := open(t, v.PID)
	worker := 0
	eventually(t, "a worker", func() bool {
		threads, err := p.Threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, th := range threads {
			if th.NoUser {
				worker = th.TID
			}
		}
		return worker != 0
	})
	for range 20 {
		seen := false
		if _, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			for i := range s.Threads {
				seen = seen || s.Threads[i].NoUser && s.Threads[i].TID == worker
			}
			return nil
		}); err != nil || !seen {
			t.Fatalf("worker seen: %v; %v", seen, err)
		}
	}
	wantKind(t, p.BorrowWith(BorrowOptions{TID: worker}, borrowPage), ErrNoThread, "runs no user code")
	if got := askOK(t, v, "x"); got != "1" { // the read's result; EINTR if we had stopped the worker
		t.Errorf("io_uring read returned %s", got)
	}
}

func TestExecIsNoticed(t *testing.T) {
	for range 10 {
		v := victim.Start(t, build(t, "odd.c"), "exec")
		p := open(t, v.PID)
		if err := p.Seize(); err != nil {
			t.Fatal(err)
		}
		stops(t, p, 1)
		v.Send("exec")
		var err error
		for err == nil {
			_, err = p.Stop(StopOptions{}, noop)
		}
		wantKind(t, err, ErrExec)
		v.Expect("ready")
		askOK(t, v, "x")
		if n := tracerOf(t, v.PID); n != 0 {
			t.Errorf("still traced by %d", n)
		}
	}
}

func TestKilledInTheStop(t *testing.T) {
	patience := time.Duration(victim.Scale(1, 30)) * time.Second
	for _, detach := range []bool{false, true} {
		v := victim.Start(t, build(t, "threads.c"), "20", "1")
		p := open(t, v.PID)
		begin := time.Now()
		_, err := p.Stop(StopOptions{Detach: detach}, func(s *Stopped) error { return unix.Kill(v.PID, unix.SIGKILL) })
		wantKind(t, err, ErrExited)
		if d := time.Since(begin); d > patience {
			t.Errorf("took %v", d)
		}
		eventually(t, "zombie", func() bool { return states(t, v.PID) == "Z" }) // no thread is held
		_, err = p.Stop(StopOptions{}, noop)
		wantKind(t, err, ErrExited)
		wantKind(t, p.Borrow(borrowPage), ErrExited)
	}
}

func TestKilledFromTheSide(t *testing.T) {
	patience := time.Duration(victim.Scale(3, 60)) * time.Second
	for i := range victim.Scale(20, 6) {
		v := victim.Start(t, build(t, "threads.c"), "10", "1")
		p := open(t, v.PID)
		go func() {
			for range i {
				runtime.Gosched()
			}
			nap(int64(i) * 100_000)
			unix.Kill(v.PID, unix.SIGKILL)
		}()
		begin := time.Now()
		for n := 0; ; n++ {
			_, err := p.Stop(StopOptions{Detach: n%2 == 0}, noop)
			if err == nil {
				err = p.Borrow(borrowPage)
			}
			if err != nil {
				wantKind(t, err, ErrExited)
				break
			}
		}
		if d := time.Since(begin); d > patience {
			t.Errorf("noticed after %v", d)
		}
		eventually(t, "zombie", func() bool { return states(t, v.PID) == "Z" })
	}
}

// TestForeignParentReaps shows that the parent of a killed target can collect it while we still hold it.
func TestForeignParentReaps(t *testing.T) {
	prog := build(t, "threads.c")
	v := victim.StartCmd(t, exec.Command("/bin/sh", "-c", prog+" 5 1; echo status $?; read line"))
	kids, err := os.ReadFile("/proc/" + strconv.Itoa(v.PID) + "/task/" + strconv.Itoa(v.PID) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(kids))[0])
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, pid)
	stops(t, p, 2)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	v.Expect("status 137")
	wantKind(t, p.Seize(), ErrExited)
}

func TestMaxPause(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "3", "0")
	p := open(t, v.PID)
	over := false
	most := time.Duration(victim.Scale(20, 1000)) * time.Millisecond // an emulated machine needs some of it to stop all threads
	_, err := p.Stop(StopOptions{MaxPause: most}, func(s *Stopped) error {
		for !s.Over() {
			if s.Remaining() > most {
				t.Error("more time left than there was")
			}
			nap(1_000_000)
		}
		over = true
		return nil
	})
	if err != nil || !over {
		t.Error(over, err)
	}
	_, err = p.Stop(StopOptions{MaxPause: time.Nanosecond}, func(*Stopped) error {
		t.Error("called though the pause is over")
		return nil
	})
	wantKind(t, err, ErrPause)
	askOK(t, v, "sum")
}

func TestPanicRestores(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "2", "1")
	p := open(t, v.PID)
	for _, call := range []func(){
		func() { p.Stop(StopOptions{}, func(*Stopped) error { panic("in stop") }) },
		func() {
			p.Borrow(func(r *Remote) error {
				if _, err := r.MemfdCreate(unix.MFD_CLOEXEC); err != nil {
					return err
				}
				panic("in borrow")
			})
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		}()
		a := askCount(t, v, "sum")
		eventually(t, "goes on", func() bool { return askCount(t, v, "sum") > a })
	}
}

func TestClosedHandle(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"))
	p := open(t, v.PID)
	if err := errors.Join(p.Seize(), p.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	wantKind(t, p.Seize(), ErrClosed)
}
