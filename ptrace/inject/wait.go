package inject

import (
	"context"
	"os"
	"strconv"
	"time"

	"hotpatch/arch"
	"hotpatch/ptrace"
)

// The time between attempts while a function is busy. It doubles with each, and is always a multiple of
// what the last stop took, so that the process runs nine tenths of the time.
const (
	firstNap = 500 * time.Microsecond
	longNap  = 20 * time.Millisecond
	runShare = 10

	// While every busy thread is seen to wait in its busy frame, stopping the process would only disturb it. An
	// attempt is made all the same from time to time: what is seen may be another frame at the same depth.
	watchNap = time.Millisecond
	quietNap = 250 * time.Millisecond
)

// watched is a busy thread and the end of the outermost frame that keeps it busy: once its stack pointer has passed
// that, the frame has returned.
type watched struct {
	tid int
	end arch.Addr
}

// watched returns the busy threads of the last check; false if one cannot be watched, because it is not known which
// frame keeps it busy.
func (a *activeness) watched() ([]watched, bool) {
	var out []watched
	for _, b := range a.busy {
		w := watched{tid: b.tid}
		for i := range b.act.Frames {
			f := &b.act.Frames[i]
			pc := f.PC
			if f.Return {
				pc--
			}
			if f.CFA != 0 && a.inTarget(pc) {
				w.end = f.CFA
			}
		}
		if w.end == 0 {
			return nil, false
		}
		out = append(out, w)
	}
	return out, len(out) > 0
}

func (a *activeness) inTarget(pc arch.Addr) bool {
	for i := range a.targets {
		if t := &a.targets[i]; pc >= t.Addr && pc < t.end() {
			return true
		}
	}
	return false
}

// waits reports whether a thread is blocked with its stack pointer still below the frame's end.
func (w watched) waits(pid int) bool {
	b, err := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(w.tid)+"/syscall"))
	if err != nil {
		return false
	}
	in, err := ptrace.ParseSyscall(b)
	return err == nil && in.Blocked && in.SP < w.end
}

// pause waits until another attempt is worth it: at once when a busy thread that is watched moves, else after nap, or
// after a longer time while all of them stay where they are. left bounds it.
func (t *transaction) pause(ctx context.Context, nap, left time.Duration) error {
	begin := time.Now()
	list, ok := t.active.watched()
	if err := sleep(ctx, min(nap, left)); err != nil || !ok {
		return err
	}
	for time.Since(begin) < min(quietNap, left) {
		for _, w := range list {
			if !w.waits(t.p.PID) {
				return nil
			}
		}
		if err := sleep(ctx, watchNap); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for a while, or until the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
