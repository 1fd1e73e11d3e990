package ptrace

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// The tests here show that a target does not notice us: the victims check themselves.

func TestBlockingCallsNoticeNothing(t *testing.T) {
	v := victim.Start(t, build(t, "calls.c"))
	p := open(t, v.PID)
	defer func() {
		if t.Failed() && !v.Alive() {
			t.Log("victim said: ", v.Line())
		}
	}()
	threads, err := p.Threads()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "each has come to its call", func() bool {
		return !slices.ContainsFunc(threads, func(th ThreadInfo) bool {
			in, err := p.syscallInfo(th.TID)
			return err != nil || !in.In
		})
	})
	for i := range victim.Scale(40, 4) {
		stops(t, p, 5)
		if err := p.Borrow(borrowPage); err != nil {
			t.Fatal(err)
		}
		// A signal without a handler is not to wake anybody either, because we trace.
		if err := unix.Tgkill(v.PID, threads[i%len(threads)].TID, unix.SIGWINCH); err != nil {
			t.Fatal(err)
		}
		nap(2_000_000)
	}
	// Each thread in turn is borrowed, whatever it waits in.
	for _, th := range threads {
		if err := p.BorrowWith(BorrowOptions{TID: th.TID}, borrowPage); err != nil {
			t.Error(err)
		}
	}
	named := 0
	for _, c := range p.Interrupted() {
		named += c.Times
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var rounds, interrupted int
	if _, err := fmt.Sscan(askOK(t, v, "finish"), &rounds, &interrupted); err != nil || interrupted > named || !seesStops && named > 0 {
		t.Errorf("%d calls were interrupted, %d are named; %v", interrupted, named, err)
	}
	t.Logf("%d rounds; %d calls were interrupted, %d are named", rounds, interrupted, named)
}

func TestRegistersAreKept(t *testing.T) {
	v := victim.Start(t, build(t, "hold.c"), "8")
	p := open(t, v.PID)
	threads, err := p.Threads()
	if err != nil || len(threads) != 9 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for i := range victim.Scale(1000, 40) {
		opts := BorrowOptions{TID: threads[1+i%8].TID}
		err := p.BorrowWith(opts, borrowPage)
		for range victim.Scale(0, 100) {
			if !errors.Is(err, ErrNoThread) {
				break
			}
			err = p.BorrowWith(opts, borrowPage) // it spins, and had no processor to stop on for as long as a borrowing waits
		}
		if err != nil {
			t.Fatalf("borrow %d: %v", i, err)
		}
		if i%10 == 0 {
			stops(t, p, 1)
		}
	}
	before := strings.Fields(askOK(t, v, "sum"))
	eventually(t, "every thread goes round again", func() bool {
		after := strings.Fields(askOK(t, v, "sum"))
		a, _ := strconv.Atoi(before[1])
		b, _ := strconv.Atoi(after[1])
		return b > a+1
	})
	t.Logf("vector registers of %s bytes, %s", before[2], before[3])
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(cpu), " amx_tile") != (before[3] == "tiles") || strings.Contains(string(cpu), " avx512bw") != (before[2] == "64") {
		t.Errorf("the CPU has registers that the victim did not hold: %v", before)
	}
}

func TestSignalsAreNeitherLostNorInvented(t *testing.T) {
	v := victim.Start(t, build(t, "signals.c"))
	p := open(t, v.PID)
	for range 5 {
		stops(t, p, victim.Scale(40, 4))
		for range victim.Scale(10, 1) {
			if err := p.BorrowWith(BorrowOptions{TID: v.PID}, borrowPage); err != nil {
				t.Fatal(err)
			}
		}
		t.Log(askOK(t, v, "sum"), "signals")
	}
}

func TestStorms(t *testing.T) {
	tests := []struct {
		mode  string
		stops int
	}{
		{mode: "thread", stops: victim.Scale(300, 30)},
		{mode: "fork", stops: victim.Scale(200, 20)},
		{mode: "vfork", stops: victim.Scale(60, 6)},
		{mode: "clonevm", stops: victim.Scale(60, 6)},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			v := victim.Start(t, build(t, "storm.c"), tt.mode)
			p := open(t, v.PID)
			for i := range tt.stops {
				before := askCount(t, v, "sum")
				opts := StopOptions{Detach: i%3 == 2, Deadline: time.Now().Add(10 * time.Second)}
				if _, err := p.Stop(opts, func(s *Stopped) error { return stable(p, s) }); err != nil {
					t.Fatalf("stop %d: %v", i, err)
				}
				if i%8 == 0 {
					if err := p.Borrow(borrowPage); err != nil {
						t.Fatalf("borrow %d: %v", i, err)
					}
					eventually(t, "goes on", func() bool { return askCount(t, v, "sum") > before })
				}
			}
		})
	}
}

// stable checks that the stopped threads are all threads there are, and all in a stop.
func stable(p *Process, s *Stopped) error {
	tids, err := p.tids()
	if err != nil {
		return err
	}
	if len(tids) != len(s.Threads) {
		return fmt.Errorf("%d threads in /proc, %d stopped", len(tids), len(s.Threads))
	}
	for i := range s.Threads {
		st, err := taskStat(p.PID, s.Threads[i].TID)
		if err != nil {
			return err
		}
		if st.State != 't' {
			return fmt.Errorf("thread %d is in state %c", st.PID, st.State)
		}
	}
	return nil
}

func TestStoppedProcessStaysStopped(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "3", "1")
	p := open(t, v.PID)
	if err := unix.Kill(v.PID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all stopped", func() bool { return states(t, v.PID) == "TTTTT" })
	stops(t, p, 20)
	for range 10 {
		if err := p.Borrow(borrowPage); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all stopped again", func() bool { return states(t, v.PID) == "TTTTT" })
	if err := unix.Kill(v.PID, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a := askCount(t, v, "sum")
	eventually(t, "spins on", func() bool { return askCount(t, v, "sum") > a })
	if s := states(t, v.PID); strings.ContainsAny(s, "Tt") {
		t.Errorf("states %q after SIGCONT", s)
	}
}

func TestStopAndContinueWhileSeized(t *testing.T) {
	v := victim.Start(t, build(t, "threads.c"), "3", "1")
	p := open(t, v.PID)
	for range victim.Scale(30, 6) {
		if err := p.Seize(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(v.PID, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stops(t, p, 2)
		if err := unix.Kill(v.PID, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		stops(t, p, 1)
		a := askCount(t, v, "sum")
		eventually(t, "spins on", func() bool { return askCount(t, v, "sum") > a })
	}
}
