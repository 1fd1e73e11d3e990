package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hotpatch/internal/kvload"
)

// wait measures how soon a change is made once nobody is in the function any more, and what a server does meanwhile.
func (b *bench) wait() error {
	if err := b.waitReturn(); err != nil {
		return err
	}
	return b.waitLoad()
}

// waitReturn measures the time from the moment when the last thread has returned from a function that is to be changed until a thread of the
// process sees the new version, which is after all threads run again.
func (b *bench) waitReturn() error {
	old, fix, err := b.versions()
	if err != nil {
		return err
	}
	var t table
	t.row("threads", "in the function", "last return to new version seen, ms", "slowest of all, ms", "pause of the change, ms")
	for _, row := range []struct{ threads, busy int }{{16, 1}, {16, 4}, {16, 16}, {64, 4}} {
		var took, pause []time.Duration
		v, err := b.start(old, row.threads, "wait", strconv.Itoa(row.threads), strconv.Itoa(row.busy))
		if err != nil {
			return err
		}
		for round := range b.runs {
			d, p, err := b.waitRound(v, fix, round, row.busy)
			if err != nil {
				v.end()
				return err
			}
			took, pause = append(took, d), append(pause, p)
		}
		v.end()
		slowest := time.Duration(0)
		for _, d := range took {
			slowest = max(slowest, d)
		}
		t.row(strconv.Itoa(row.threads), strconv.Itoa(row.busy), ms(median(took)), ms(slowest), ms(median(pause)))
	}
	t.print(fmt.Sprintf("Waiting: medians of %d runs; the threads leave the function one after the other; all in SCHED_FIFO, if permitted", b.runs))
	return nil
}

// waitRound begins an apply while threads are in the function, lets them go, and reverts.
func (b *bench) waitRound(t *target, fix string, round, busy int) (took, pause time.Duration, err error) {
	if err := t.await(func() bool { return t.mem[wordInside].Load() == uint64(busy) }); err != nil {
		return 0, 0, err
	}
	t.mem[wordSeen].Store(0)
	var r *report
	done := make(chan error, 1)
	go func() {
		var err error
		r, err = b.hot("apply", "-p", t.pid(), "--json", "--wait", "60s", fix)
		done <- err
	}()
	status := "/proc/" + t.pid() + "/status"
	if err := t.await(func() bool {
		s, _ := os.ReadFile(status)
		return !strings.Contains(string(s), "TracerPid:\t0\n")
	}); err != nil {
		return 0, 0, err
	}
	time.Sleep(200 * time.Millisecond) // it has found the function busy, and waits
	t.mem[wordGo].Store(uint64(2*round + 1))
	if err := <-done; err != nil {
		return 0, 0, err
	}
	if err := t.await(func() bool { return t.mem[wordSeen].Load() != 0 }); err != nil {
		return 0, 0, err
	}
	took = time.Duration(t.mem[wordSeen].Load() - t.mem[wordLeft].Load())
	if _, err := b.hot("revert", "-p", t.pid(), "--json", "--wait", "60s"); err != nil {
		return 0, 0, err
	}
	t.mem[wordGo].Store(uint64(2*round + 2))
	return took, time.Duration(r.PauseNS), nil
}

// loadSpan is how long one measurement of a load lasts.
const loadSpan = 3 * time.Second

// waitLoad measures the throughput of kvd under load: alone, and while hotpatch waits for functions of it that do not become idle.
func (b *bench) waitLoad() error {
	var versions [2]string
	for i := range versions {
		versions[i] = filepath.Join(b.work, "kvd."+strconv.Itoa(i+1))
		args := []string{"-O2", "-g", "-pthread", "-fPIE", "-pie", "-Wl,--build-id", "-DVERSION=" + strconv.Itoa(i+1), "-o", versions[i]}
		for _, s := range []string{"kvd.c", "command.c", "table.c", "queue.c"} {
			args = append(args, filepath.Join(b.kvd, s))
		}
		if err := quiet(exec.Command("cc", args...)); err != nil {
			return err
		}
	}
	fix := filepath.Join(b.work, "kvd.patch")
	if err := quiet(exec.Command(b.hotpatch, "diff", versions[0], versions[1], "-o", fix)); err != nil {
		return err
	}
	server := exec.Command(versions[0])
	in, err := server.StdinPipe()
	if err != nil {
		return err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Wait()
	defer in.Close()
	lines := bufio.NewReader(out)
	var port int
	if _, err := fmt.Fscanf(lines, "ready\nport %d\n", &port); err != nil {
		return fmt.Errorf("kvd: %w", err)
	}
	return b.waitLoads(server.Process.Pid, "127.0.0.1:"+strconv.Itoa(port), fix)
}

// waitLoads alternates between a load alone and one beside each way of waiting.
func (b *bench) waitLoads(pid int, addr, fix string) error {
	kinds := []struct {
		name string
		args []string
	}{
		{"alone", nil},
		{"waiting for main", []string{"--when-idle", "main"}},
		{"waiting for main and what runs each request", []string{"--when-idle", "main", "--when-idle", "command_run"}},
	}
	rates, costs := make([][]float64, len(kinds)), make([][]float64, len(kinds))
	for round := range max(5, b.runs/3) {
		for k := range kinds {
			i := (k + round) % len(kinds) // each in every place
			rate, cost, err := b.loadRate(pid, addr, fix, kinds[i].args)
			if err != nil {
				return fmt.Errorf("%s: %w", kinds[i].name, err)
			}
			rates[i], costs[i] = append(rates[i], rate), append(costs[i], cost)
		}
	}
	var t table
	t.row("kvd, 16 connections", "replies a second", "of alone", "replies a CPU second of kvd", "of alone")
	for i, k := range kinds {
		var wall, cpu []float64
		for n := range rates[i] { // of the same round
			wall, cpu = append(wall, rates[i][n]/rates[0][n]), append(cpu, costs[i][n]/costs[0][n])
		}
		t.row(k.name, fmt.Sprintf("%.0f", median(rates[i])), fmt.Sprintf("%.1f %%", 100*median(wall)),
			fmt.Sprintf("%.0f", median(costs[i])), fmt.Sprintf("%.1f %%", 100*median(cpu)))
	}
	t.print(fmt.Sprintf("Throughput: medians of %d spans of %v", len(rates[0]), loadSpan))
	return nil
}

// cpuTime returns what a process has used of the processors.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.ParseInt(f[11], 10, 64) // utime and stime, in hundredths of a second (proc(5))
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100), errors.Join(err1, err2)
}

// loadRate returns how many replies a load gets in a second, and in one second of the server's CPU time, while an apply with args waits in
// vain; nil: nothing does.
func (b *bench) loadRate(pid int, addr, fix string, args []string) (rate, cost float64, err error) {
	before, err := cpuTime(pid)
	if err != nil {
		return 0, 0, err
	}
	l, err := kvload.Start(addr, 16, 1)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if args == nil {
		time.Sleep(loadSpan)
	} else {
		cmd := exec.Command(b.hotpatch, append([]string{"apply", "-p", strconv.Itoa(pid), "--wait", loadSpan.String(), fix}, args...)...)
		cmd.Stderr = io.Discard
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 4 {
			l.Stop()
			return 0, 0, fmt.Errorf("apply: %v, want exit status 4 (busy)", err)
		}
	}
	took := time.Since(start)
	r, err := l.Stop()
	if err != nil {
		return 0, 0, err
	}
	after, err := cpuTime(pid)
	return float64(r.Replies) / took.Seconds(), float64(r.Replies) / (after - before).Seconds(), err
}
