package ptrace

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch/arch"
	"hotpatch/internal/victim"
)

// rounder is a running testdata/ptrace/rounds.c.
type rounder struct {
	*victim.Victim
	goals                 []Goal
	calls, beats, signals arch.Addr
}

func startRounds(t *testing.T, threads int, span time.Duration, mode string) *rounder {
	t.Helper()
	v := victim.Start(t, build(t, "rounds.c"), strconv.Itoa(threads), strconv.Itoa(int(span/time.Microsecond)), mode)
	r := &rounder{Victim: v}
	for range threads {
		var g Goal
		if _, err := fmt.Sscanf(v.Line(), "%d 0x%x 0x%x", &g.TID, &g.PC, &g.SP); err != nil {
			t.Fatal(err)
		}
		r.goals = append(r.goals, g)
	}
	if _, err := fmt.Sscanf(v.Line(), "0x%x 0x%x 0x%x", &r.calls, &r.beats, &r.signals); err != nil {
		t.Fatal(err)
	}
	return r
}

// number reads a counter of a stopped victim.
func number(t *testing.T, s *Stopped, at arch.Addr) uint64 {
	t.Helper()
	var b [8]byte
	if err := s.Read(b[:], at); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// roundEnd is when a round ends at the latest in which every thread returns; where that is not seen, it lasts until then.
func roundEnd() time.Time {
	if !perfEvents {
		return time.Now().Add(30 * time.Millisecond)
	}
	return time.Now().Add(10 * time.Second)
}

// TestRunOn runs threads on to where their call returns, while all others stand still.
func TestRunOn(t *testing.T) {
	for _, tt := range []struct {
		mode    string
		threads int
		span    time.Duration
	}{
		{mode: "spin", threads: 2, span: time.Millisecond},
		{mode: "sleep", threads: 16, span: time.Millisecond},
		{mode: "sleep", threads: 4, span: 20 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%s %d %v", tt.mode, tt.threads, tt.span), func(t *testing.T) {
			v := startRounds(t, tt.threads, tt.span, tt.mode)
			p := open(t, v.PID)
			for range 10 {
				goals := append([]Goal(nil), v.goals...)
				_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
					beats, n := number(t, s, v.beats), len(s.Threads)
					if err := s.RunOn(goals, roundEnd()); err != nil {
						return err
					}
					if len(s.Threads) != n {
						t.Errorf("%d threads, were %d", len(s.Threads), n)
					}
					if got := number(t, s, v.beats); got != beats {
						t.Errorf("another thread went on: %d, was %d", got, beats)
					}
					return stable(p, s)
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range goals {
					if g.Reached != perfEvents {
						t.Errorf("thread %d was seen at its goal: %v", g.TID, g.Reached)
					}
				}
			}
			before := askCount(t, v.Victim, "sum")
			eventually(t, "goes on", func() bool { return askCount(t, v.Victim, "sum") > before })
		})
	}
}

// TestRunOnEnds: the time ends the round for those that do not come, or that cannot be seen.
func TestRunOnEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(g *Goal)
	}{
		{name: "no goal", edit: func(g *Goal) { g.PC = 0 }},
		{name: "further out", edit: func(g *Goal) { g.SP += 1 << 20 }}, // as calls further in seen from the outermost one
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startRounds(t, 3, 200*time.Microsecond, "spin")
			p := open(t, v.PID)
			goals := append([]Goal(nil), v.goals...)
			for i := range goals {
				tt.edit(&goals[i])
			}
			_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
				before := number(t, s, v.calls)
				for number(t, s, v.calls) < before+3 {
					if err := s.RunOn(goals, time.Now().Add(5*time.Millisecond)); err != nil {
						return err
					}
				}
				return stable(p, s)
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range goals {
				if g.Reached {
					t.Errorf("thread %d was seen where it cannot have been", g.TID)
				}
			}
		})
	}
}

// TestRunOnEvents: signals arrive, threads are born and end while a round goes on.
func TestRunOnEvents(t *testing.T) {
	t.Run("signal", func(t *testing.T) {
		v := startRounds(t, 2, time.Millisecond, "spin")
		p := open(t, v.PID)
		const rounds = 20
		for i := range rounds {
			goals := append([]Goal(nil), v.goals...)
			_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
				if err := unix.Tgkill(v.PID, goals[0].TID, unix.SIGUSR1); err != nil {
					return err
				}
				if err := s.RunOn(goals, roundEnd()); err != nil {
					return err
				}
				if got := number(t, s, v.signals); got > uint64(i)+1 { // a round may end before its own has been handled
					t.Errorf("%d signals of %d", got, i+1)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "every signal has come once", func() bool {
			var n uint64
			if _, err := p.Stop(StopOptions{}, func(s *Stopped) error { n = number(t, s, v.signals); return nil }); err != nil {
				t.Fatal(err)
			}
			return n == rounds
		})
	})
	t.Run("born", func(t *testing.T) {
		v := startRounds(t, 3, 100*time.Microsecond, "spawn")
		p := open(t, v.PID)
		for range 50 {
			goals := append([]Goal(nil), v.goals...)
			for i := range goals {
				goals[i].PC = 0
			}
			_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
				if err := s.RunOn(goals, time.Now().Add(time.Millisecond)); err != nil {
					return err
				}
				return stable(p, s)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		before := askCount(t, v.Victim, "sum")
		eventually(t, "goes on", func() bool { return askCount(t, v.Victim, "sum") > before })
	})
	t.Run("ended", func(t *testing.T) {
		v := startRounds(t, 3, 300*time.Millisecond, "end")
		p := open(t, v.PID)
		goals := append([]Goal(nil), v.goals...)
		for i := range goals {
			goals[i].SP += 1 << 20
		}
		_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			if err := s.RunOn(goals, time.Now().Add(20*time.Second)); err != nil {
				return err
			}
			return stable(p, s)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range goals {
			if !g.Reached {
				t.Errorf("thread %d has ended, and the round waited for it", g.TID)
			}
		}
	})
	t.Run("killed", func(t *testing.T) {
		v := startRounds(t, 3, time.Millisecond, "spin")
		p := open(t, v.PID)
		_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			if err := unix.Kill(v.PID, unix.SIGKILL); err != nil {
				return err
			}
			return s.RunOn([]Goal{{TID: v.goals[0].TID}}, time.Now().Add(20*time.Second))
		})
		if !errors.Is(err, ErrExited) {
			t.Errorf("%v, want %v", err, ErrExited)
		}
	})
}

// TestWatch sees threads return without stopping them, where there are breakpoints.
func TestWatch(t *testing.T) {
	v := startRounds(t, 6, 2*time.Millisecond, "sleep")
	goals := append([]Goal(nil), v.goals...)
	goals[4].SP += 1 << 20
	goals[5].PC = 0
	w := NewWatch(goals)
	defer w.Close()
	if !perfEvents {
		if n := w.Unseen(); n != len(goals) || w.Wait(context.Background(), time.Millisecond) {
			t.Errorf("%d of %d are not seen", n, len(goals))
		}
		return
	}
	if n := w.Unseen(); n != 1 {
		t.Errorf("%d are not seen, want 1: are perf events permitted?", n)
	}
	for end := time.Now().Add(20 * time.Second); w.Left() > 2 && time.Now().Before(end); {
		w.Wait(context.Background(), time.Second)
	}
	for i, g := range goals {
		if want := i < 4; g.Reached != want {
			t.Errorf("thread %d: reached %v, want %v", i, g.Reached, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if w.Wait(ctx, time.Hour) {
		t.Error("something was seen after the context had ended")
	}
	if err := unix.Kill(v.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of a thread is seen", func() bool { w.Wait(context.Background(), 0); return goals[4].Reached })
}

// TestRoundKilled kills a tracer in the midst of rounds: all threads run on.
func TestRoundKilled(t *testing.T) {
	const env = "HOTPATCH_TEST_ROUND"
	var pid, tid int
	if _, err := fmt.Sscan(os.Getenv(env), &pid, &tid); err == nil {
		roundsForEver(t, pid, tid)
	}
	v := startRounds(t, 3, time.Millisecond, "sleep")
	for i := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestRoundKilled$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", env, v.PID, v.goals[0].TID))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		nap(int64(i) * 300_000)
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() // killed, so an error
		untouched(t, v.Victim, 5)
		before := askCount(t, v.Victim, "sum")
		eventually(t, "goes on", func() bool { return askCount(t, v.Victim, "sum") >= before+6 })
	}
}

// roundsForEver is the tracer: nine tenths of its time one thread runs and the others stand still.
func roundsForEver(t *testing.T, pid, tid int) {
	p, err := Open(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		_, err := p.Stop(StopOptions{}, func(s *Stopped) error {
			return s.RunOn([]Goal{{TID: tid}}, time.Now().Add(5*time.Millisecond))
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			fmt.Println("round")
		}
	}
}
