package ptrace

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotpatch/internal/victim"
)

// BenchmarkStop measures the pause of a stop that looks at nothing, as the median, beside that of a C
// program that only stops and resumes the same threads (testdata/ptrace/floor.c), in the same run.
func BenchmarkStop(b *testing.B) {
	tests := []struct {
		name              string
		blocked, spinning int
	}{
		{name: "1", blocked: 0},
		{name: "16", blocked: 15},
		{name: "64", blocked: 63},
		{name: "256", blocked: 255},
		{name: "16+4spinning", blocked: 11, spinning: 4},
	}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			v := victim.Start(b, build(b, "threads.c"), strconv.Itoa(tt.blocked), strconv.Itoa(tt.spinning))
			floor := floorOf(b, v.PID)
			p := open(b, v.PID)
			var pauses []time.Duration
			for b.Loop() {
				stats, err := p.Stop(StopOptions{}, noop)
				if err != nil {
					b.Fatal(err)
				}
				pauses = append(pauses, stats.Pause)
			}
			slices.Sort(pauses)
			median := pauses[len(pauses)/2]
			b.ReportMetric(float64(median.Microseconds()), "us-pause")
			b.ReportMetric(float64(floor.Microseconds()), "us-floor")
			b.ReportMetric(float64(median)/float64(floor), "ratio")
		})
	}
}

// floorOf runs the C program on a process.
func floorOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	out, err := exec.Command(build(b, "floor.c"), strconv.Itoa(pid), "31").Output()
	if err != nil {
		b.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// BenchmarkBorrow measures borrowing a thread for mmap and munmap, seized before or not.
func BenchmarkBorrow(b *testing.B) {
	for _, seized := range []bool{true, false} {
		b.Run(fmt.Sprintf("seized=%v", seized), func(b *testing.B) {
			v := victim.Start(b, build(b, "threads.c"), "15", "0")
			p := open(b, v.PID)
			if seized {
				if err := p.Seize(); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if err := p.Borrow(borrowPage); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
