package main

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// diff measures the comparison of two builds: time, speed and peak memory.
func (b *bench) diff() error {
	var t table
	t.row("pair", "code MB", "functions", "ms", "MB/s", "peak RSS MB")
	dirs, err := filepath.Glob(filepath.Join(b.data, "large.*"))
	if err != nil {
		return err
	}
	pairs := append([]string{b.data}, dirs...)
	for _, dir := range pairs {
		runs := b.runs
		if dir != b.data {
			runs = 3 // seconds each
		}
		row, err := b.diffRow(filepath.Join(dir, "old", "redis-server"), filepath.Join(dir, "new", "redis-server"), runs)
		if err != nil {
			return err
		}
		name := "redis-server"
		if dir != b.data {
			name = filepath.Ext(dir)[1:] + " x its objects"
		}
		t.row(append([]string{name}, row...)...)
	}
	t.print(fmt.Sprintf("Diff: medians of %d runs (large files: 3); code is .text of one build", b.runs))
	return nil
}

func (b *bench) diffRow(old, next string, runs int) ([]string, error) {
	code, err := textSize(next)
	if err != nil {
		return nil, err
	}
	var wall []time.Duration
	var rss []int64
	var functions int
	for range runs {
		cmd := exec.Command(b.hotpatch, "diff", old, next, "--json")
		start := time.Now()
		out, err := cmd.Output()
		wall = append(wall, time.Since(start))
		// A refused change is a result as well: the comparison was made.
		var exit *exec.ExitError
		if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) {
			return nil, fmt.Errorf("%v: %w", cmd, err)
		}
		var r struct {
			Counts struct {
				Functions int `json:"functions"`
			} `json:"counts"`
		}
		if err := json.Unmarshal(out, &r); err != nil {
			return nil, fmt.Errorf("%v: %w", cmd, err)
		}
		functions = r.Counts.Functions
		rss = append(rss, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // KiB, see getrusage(2)
	}
	m := median(wall)
	mb := float64(code) / 1e6
	return []string{fmt.Sprintf("%.2f", mb), fmt.Sprint(functions), fmt.Sprintf("%.0f", float64(m.Microseconds())/1e3),
		fmt.Sprintf("%.1f", mb/m.Seconds()), fmt.Sprintf("%.0f", float64(median(rss))*1024/1e6)}, nil
}

// textSize returns the bytes of .text.
func textSize(path string) (uint64, error) {
	f, err := elf.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s := f.Section(".text")
	if s == nil {
		return 0, fmt.Errorf("%s has no .text", path)
	}
	return s.Size, nil
}
