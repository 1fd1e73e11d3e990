package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// diff measures the comparison of two builds beside objdump -d of one of them: time on one and on two cores, and peak memory.
func (b *bench) diff() error {
	var t table
	t.row("pair", "code MB", "functions", "ms, 1 core", "ms, 2 cores", "CPU ms", "CPU ms, objdump -d", "ratio", "peak MB", "times both files")
	olds, err := filepath.Glob(filepath.Join(b.data, "*", "old", "*"))
	if err != nil {
		return err
	}
	for _, old := range append([]string{filepath.Join(b.data, "old", "redis-server")}, olds...) {
		if st, err := os.Stat(old); err != nil || !st.Mode().IsRegular() {
			continue // the objects of redis
		}
		dir, file := filepath.Dir(filepath.Dir(old)), filepath.Base(old)
		name, runs := file, b.runs
		if n, ok := strings.CutPrefix(filepath.Base(dir), "large."); ok {
			name = n + " x redis's objects"
		} else if filepath.Base(dir) == "typed" {
			name += ", a type changed"
		}
		if st, err := os.Stat(old); err == nil && st.Size() > 50e6 {
			runs = min(runs, 3) // seconds each
		}
		row, err := b.diffRow(old, filepath.Join(dir, "new", file), runs)
		if err != nil {
			return err
		}
		t.row(append([]string{name}, row...)...)
	}
	t.print(fmt.Sprintf("Diff: medians of %d runs (large files: 3); code is .text of one build", b.runs))
	return nil
}

// usage is what one command used.
type usage struct {
	wall, cpu time.Duration
	rss       int64 // bytes, at its peak
}

// sampled runs a command with so many processors for Go code. What it prints goes to out; nil: nowhere.
func sampled(cores int, out io.Writer, name string, args ...string) (usage, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", cores))
	cmd.Stdout = out
	start := time.Now()
	err := cmd.Run()
	s := usage{wall: time.Since(start)}
	// A refused change is a result as well: the comparison was made.
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) {
		return s, fmt.Errorf("%v: %w", cmd, err)
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.rss = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024 // KiB, see getrusage(2)
	return s, nil
}

func (b *bench) diffRow(old, next string, runs int) ([]string, error) {
	code, err := textSize(next)
	if err != nil {
		return nil, err
	}
	var one, two, cpu, floor []time.Duration
	var rss []int64
	var r struct {
		Counts struct {
			Functions int `json:"functions"`
		} `json:"totals"`
	}
	for range runs {
		for cores, wall := range map[int]*[]time.Duration{1: &one, 2: &two} {
			var out bytes.Buffer
			s, err := sampled(cores, &out, b.hotpatch, "diff", old, next, "--json")
			if err != nil {
				return nil, err
			}
			*wall = append(*wall, s.wall)
			if cores == 2 {
				cpu, rss = append(cpu, s.cpu), append(rss, s.rss)
			}
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				return nil, fmt.Errorf("%s: %w", old, err)
			}
		}
		s, err := sampled(1, nil, "objdump", "-d", old)
		if err != nil {
			return nil, err
		}
		floor = append(floor, s.cpu)
	}
	files := int64(0)
	for _, f := range []string{old, next} {
		st, err := os.Stat(f)
		if err != nil {
			return nil, err
		}
		files += st.Size()
	}
	ms := func(d []time.Duration) string { return fmt.Sprintf("%.0f", float64(median(d).Microseconds())/1e3) }
	return []string{fmt.Sprintf("%.2f", float64(code)/1e6), fmt.Sprint(r.Counts.Functions), ms(one), ms(two), ms(cpu), ms(floor),
		fmt.Sprintf("%.2f", float64(median(cpu))/float64(median(floor))), fmt.Sprintf("%.0f", float64(median(rss))/1e6),
		fmt.Sprintf("%.1f", float64(median(rss))/float64(files))}, nil
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
