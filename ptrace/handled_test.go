package ptrace

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch/internal/victim"
)

// When a signal comes to a thread that is stopped or borrowed.
const (
	inStop       = iota // all threads are stopped, and let go
	beforeCalls         // it is parked, in its own call
	amongCalls          // it has made a borrowed call and is about to make another
	behindCalls         // it has made the last one, and is let go
	behindTraced        // the same, and it stays traced
)

// TestHandlerWhileBorrowed: a signal with a handler comes to a thread that is stopped or borrowed in a system call. The call then ends,
// or begins again behind the handler, as signal(7) says of it and of SA_RESTART; a sleep that ends so says what is left of it.
func TestHandlerWhileBorrowed(t *testing.T) {
	tests := []struct {
		call    string
		restart bool // the handler has SA_RESTART
		ends    bool // the call returns EINTR
	}{
		{call: "read", restart: true},
		{call: "read", ends: true},
		{call: "futex", restart: true},
		{call: "futex", ends: true},
		{call: "futex_timed", restart: true, ends: true},
		{call: "epoll_wait", restart: true, ends: true},
		{call: "ppoll", restart: true, ends: true},
		{call: "nanosleep", restart: true, ends: true},
	}
	whens := []string{inStop: "stopped", beforeCalls: "before", amongCalls: "among", behindCalls: "behind", behindTraced: "traced"}
	for _, tt := range tests {
		for when, name := range whens {
			flags := map[bool]string{true: "restart", false: "end"}[tt.restart]
			t.Run(fmt.Sprintf("%s_%s_%s", tt.call, flags, name), func(t *testing.T) {
				ends := tt.ends
				if !tt.restart && when > beforeCalls && !keepsHandlers {
					ends = false // see "System calls that a stop interrupts" in the package comment
				}
				handleBorrowed(t, tt.call, flags, when, ends)
			})
		}
	}
}

// handleBorrowed sends the signal at one instant, and looks at what becomes of the call.
func handleBorrowed(t *testing.T, call, flags string, when int, ends bool) {
	t.Helper()
	v := victim.Start(t, build(t, "handled.c"), call, flags)
	p := open(t, v.PID)
	tid := askCount(t, v, "tid")
	eventually(t, "is in its call", func() bool {
		in, err := p.syscallInfo(tid)
		return err == nil && in.In
	})
	signalAt(t, p, tid, when)
	eventually(t, "has handled the signal", func() bool { return sumOf(t, v).handled == 1 })
	if !ends {
		eventually(t, "is in its call again", func() bool {
			in, err := p.syscallInfo(tid)
			return err == nil && in.In && in.NR != unix.SYS_RT_SIGRETURN
		})
		if s := sumOf(t, v); s.done != 0 {
			t.Fatalf("its call has ended with %d, errno %d", s.result, s.errno)
		}
		askOK(t, v, "wake")
	}
	eventually(t, "its call returns", func() bool { return sumOf(t, v).done == 1 })
	s := sumOf(t, v)
	woken := map[string]int{"read": 1, "futex": 0}
	switch {
	case ends && (s.result != -1 || s.errno != int(unix.EINTR)) || !ends && (s.result != woken[call] || s.errno != 0):
		t.Errorf("its call ended with %d, errno %d; by the handler: %v", s.result, s.errno, ends)
	case call == "nanosleep" && (s.left < 3000_000 || s.left >= 3600_000):
		t.Errorf("%d ms are left of an hour's sleep", s.left)
	case slices.ContainsFunc(p.Interrupted(), func(i Interrupted) bool { return i.TID == tid }):
		t.Errorf("the call is said to have been interrupted: %v", p.Interrupted())
	}
	if err := p.BorrowWith(BorrowOptions{TID: tid}, borrowPage); err != nil { // it goes on as usual
		t.Error(err)
	}
}

// signalAt stops or borrows a thread, and sends it the signal at one instant of that.
func signalAt(t *testing.T, p *Process, tid, when int) {
	t.Helper()
	signal := func(at int) {
		if at == when {
			if err := unix.Tgkill(p.PID, tid, unix.SIGUSR1); err != nil {
				t.Error(err)
			}
		}
	}
	if when == behindTraced {
		if err := p.Seize(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if when == inStop {
		_, err = p.Stop(StopOptions{Detach: true}, func(*Stopped) error {
			signal(inStop)
			return nil
		})
	} else {
		err = p.BorrowWith(BorrowOptions{TID: tid}, func(r *Remote) error {
			signal(beforeCalls)
			if err := borrowPage(r); err != nil {
				return err
			}
			signal(amongCalls)
			err := borrowPage(r)
			signal(behindCalls)
			signal(behindTraced)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// handledSum is what the victim says of its thread.
type handledSum struct{ handled, done, result, errno, left int }

func sumOf(t *testing.T, v *victim.Victim) (s handledSum) {
	t.Helper()
	if _, err := fmt.Sscan(askOK(t, v, "sum"), &s.handled, &s.done, &s.result, &s.errno, &s.left); err != nil {
		t.Fatal(err)
	}
	return s
}
