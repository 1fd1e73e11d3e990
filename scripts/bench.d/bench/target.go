package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// The words of target.c's struct shared.
const (
	wordReady = iota
	wordGap
	wordAnswer
	wordWindows
	wordNS
	wordCalls
	wordSink
	wordEINTR
	wordBeats // the first of one for each spinning thread
	wordGo    = wordBeats + maxSpinning
)

const (
	wordInside = wordGo + 1 + iota
	wordLeft
	wordSeen
	words
)

// maxSpinning is the largest number of spinning threads.
const maxSpinning = 8

// target is a running target.c.
type target struct {
	cmd      *exec.Cmd
	mem      [words]*atomic.Uint64
	spinning int // threads that watch the clock
}

// patience bounds every wait for a target.
const patience = 60 * time.Second

// start runs a target and waits until ready of its threads have begun.
func (b *bench) start(program string, ready int, args ...string) (*target, error) {
	path := filepath.Join(b.work, "shared")
	if err := os.WriteFile(path, make([]byte, os.Getpagesize()), 0o600); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	page, err := syscall.Mmap(int(f.Fd()), 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	t := &target{cmd: exec.Command(program, append([]string{path}, args...)...)}
	for i := range t.mem {
		t.mem[i] = wordAt(page, i)
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	return t, t.await(func() bool { return t.mem[wordReady].Load() >= uint64(ready) })
}

// await waits for a condition of the target.
func (t *target) await(ok func() bool) error {
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("target %d: nothing happened for %v", t.cmd.Process.Pid, patience)
		}
	}
	return nil
}

func (t *target) pid() string { return strconv.Itoa(t.cmd.Process.Pid) }

// end ends the target.
func (t *target) end() {
	t.cmd.Process.Kill()
	t.cmd.Wait()
}

// report is what the bench reads from apply --json and revert --json.
type report struct {
	PauseNS int64 `json:"pause_ns"`
	Threads int   `json:"threads"`
	Phases  []struct {
		Name string        `json:"name"`
		Took time.Duration `json:"ns"`
	} `json:"phases"`
	wall time.Duration // of the whole command
}

// hot runs hotpatch with --json and reads the report.
func (b *bench) hot(args ...string) (*report, error) {
	cmd := exec.Command(b.hotpatch, args...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.Output()
	wall := time.Since(start)
	if err != nil {
		return nil, fmt.Errorf("hotpatch %v: %w", args, err)
	}
	r := &report{wall: wall}
	if err := json.Unmarshal(out, r); err != nil {
		return nil, fmt.Errorf("hotpatch %v: %w", args, err)
	}
	return r, nil
}
