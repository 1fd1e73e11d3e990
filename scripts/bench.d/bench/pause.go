package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// sample is what one way of stopping gives for one kind of target.
type sample struct {
	pause []time.Duration
	gap   []time.Duration // longest gap that a spinning thread saw
}

// pause measures how long the threads of a target stand still.
func (b *bench) pause() error {
	floor, err := b.compile("floor", "floor.c")
	if err != nil {
		return err
	}
	old, fix, err := b.versions()
	if err != nil {
		return err
	}
	class := "fifo"
	if exec.Command("chrt", "-f", "1", "true").Run() != nil {
		class = ""
	}
	var t table
	t.row("threads", "spinning", "floor ms", "apply ms", "x floor", "revert ms", "x floor",
		"gap idle ms", "gap floor ms", "gap apply ms")
	for _, spinning := range []int{0, 1, 8} {
		for _, threads := range []int{1, 16, 64, 256} {
			if spinning > threads {
				continue
			}
			row, err := b.pauseRow(old, fix, floor, class, threads, spinning)
			if err != nil {
				return fmt.Errorf("%d threads, %d spinning: %w", threads, spinning, err)
			}
			t.row(row...)
		}
	}
	name := "SCHED_OTHER"
	if class != "" {
		name = "SCHED_FIFO"
	}
	t.print(fmt.Sprintf("Pause: medians of %d runs, floor and hotpatch in %s during the stop", b.runs, name))
	return nil
}

// versions builds two targets and the patch from the first to the second.
func (b *bench) versions() (old, fix string, err error) {
	if old, err = b.compile("target.0", "target.c", "-DVERSION=0"); err != nil {
		return "", "", err
	}
	next, err := b.compile("target.1", "target.c", "-DVERSION=1")
	if err != nil {
		return "", "", err
	}
	fix = filepath.Join(b.work, "target.patch")
	return old, fix, quiet(exec.Command(b.hotpatch, "diff", old, next, "-o", fix))
}

func (b *bench) pauseRow(old, fix, floor, class string, threads, spinning int) ([]string, error) {
	t, err := b.start(old, threads, "pause", strconv.Itoa(threads), strconv.Itoa(spinning))
	if err != nil {
		return nil, err
	}
	defer t.end()
	t.spinning = spinning
	var idle, low, apply, revert sample
	// One round before the measured ones: the first apply maps the payload and copies the text
	// page, later ones reuse both.
	for i := range b.runs + 1 {
		var round [4]sample
		quiet, err := t.gap(func() error { time.Sleep(20 * time.Millisecond); return nil })
		if err != nil {
			return nil, err
		}
		round[0].gap = append(round[0].gap, quiet)
		if err := round[1].floor(t, floor, class, threads); err != nil {
			return nil, err
		}
		// The floor makes epoll_wait return EINTR in every thread, as any plain stop does. hotpatch must not.
		interrupted := uint64((i + 1) * inEpoll(threads, spinning))
		if err := t.await(func() bool { return t.mem[wordEINTR].Load() >= interrupted }); err != nil {
			return nil, err
		}
		if err := round[2].hot(b, t, "apply", "-p", t.pid(), "--json", "--wait", "30s", fix); err != nil {
			return nil, err
		}
		if err := round[3].hot(b, t, "revert", "-p", t.pid(), "--json", "--wait", "30s"); err != nil {
			return nil, err
		}
		if n := t.mem[wordEINTR].Load() - interrupted; n != 0 {
			return nil, fmt.Errorf("hotpatch made %d system calls of the target return EINTR", n)
		}
		if i > 0 {
			for k, s := range []*sample{&idle, &low, &apply, &revert} {
				s.pause = append(s.pause, round[k].pause...)
				s.gap = append(s.gap, round[k].gap...)
			}
		}
	}
	ratio := func(s sample) string {
		return fmt.Sprintf("%.2f", float64(median(s.pause))/float64(median(low.pause)))
	}
	gaps := []string{"-", "-", "-"}
	if spinning > 0 {
		gaps = []string{ms(median(idle.gap)), ms(median(low.gap)), ms(median(apply.gap))}
	}
	return append([]string{strconv.Itoa(threads), strconv.Itoa(spinning), ms(median(low.pause)),
		ms(median(apply.pause)), ratio(apply), ms(median(revert.pause)), ratio(revert)}, gaps...), nil
}

// inEpoll returns how many threads of target.c wait in epoll_wait.
func inEpoll(threads, spinning int) int {
	n := 0
	for i := spinning + 1; i < threads; i++ {
		if i%4 == 0 {
			n++
		}
	}
	return n
}

// gap returns the longest gap that a spinning thread saw while f ran, or f's error.
func (t *target) gap(f func() error) (time.Duration, error) {
	if err := t.beat(); err != nil { // each has looked at the clock: what was before does not count
		return 0, err
	}
	t.mem[wordGap].Store(0)
	if err := f(); err != nil {
		return 0, err
	}
	if err := t.beat(); err != nil { // and each has seen the end of its last gap
		return 0, err
	}
	return time.Duration(t.mem[wordGap].Load()), nil
}

// beat waits until every spinning thread has recorded a gap that ends after the call.
func (t *target) beat() error {
	for i := range t.spinning {
		w := t.mem[wordBeats+i]
		seen := w.Load()
		if err := t.await(func() bool { return w.Load()-seen >= 2 }); err != nil {
			return err
		}
	}
	return nil
}

// floor stops and resumes the target with floor.c.
func (s *sample) floor(t *target, program, class string, threads int) error {
	var out []byte
	gap, err := t.gap(func() (err error) {
		out, err = exec.Command(program, t.pid(), class).Output()
		return err
	})
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	var ns int64
	var n int
	if _, err := fmt.Sscan(string(out), &ns, &n); err != nil || n != threads {
		return fmt.Errorf("floor printed %q for %d threads: %v", out, threads, err)
	}
	s.pause = append(s.pause, time.Duration(ns))
	s.gap = append(s.gap, gap)
	return nil
}

// hot changes the target with hotpatch.
func (s *sample) hot(b *bench, t *target, args ...string) error {
	var r *report
	gap, err := t.gap(func() (err error) {
		r, err = b.hot(args...)
		return err
	})
	if err != nil {
		return err
	}
	s.pause = append(s.pause, time.Duration(r.PauseNS))
	s.gap = append(s.gap, gap)
	return nil
}
