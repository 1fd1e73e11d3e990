// Command bench measures hotpatch against floors in the same run, and prints the tables as
// Markdown. scripts/bench builds what it needs and calls it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is what the parts share.
type bench struct {
	hotpatch string // the program
	src      string // directory of floor.c and target.c
	work     string // scratch directory
	kvd      string // directory of kvd's sources
	data     string // directory with the redis builds: old/redis-server, new/redis-server, large/...
	runs     int
}

func main() {
	b := &bench{}
	flag.StringVar(&b.hotpatch, "hotpatch", "", "the `program` to measure")
	flag.StringVar(&b.src, "src", "", "`directory` of floor.c and target.c")
	flag.StringVar(&b.kvd, "kvd", "", "`directory` of the sources of kvd, which serves a load")
	flag.StringVar(&b.data, "data", "", "`directory` of the builds to compare and patch")
	flag.IntVar(&b.runs, "runs", 30, "measurements behind each median")
	flag.Parse()
	if err := b.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the named parts.
func (b *bench) run(parts []string) error {
	var err error
	if b.work, err = os.MkdirTemp("", "hotpatch-bench."); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	all := map[string]func() error{"pause": b.pause, "apply": b.apply, "call": b.call, "diff": b.diff, "wait": b.wait}
	for _, p := range parts {
		f := all[p]
		if f == nil {
			return fmt.Errorf("no part %q: pause, apply, call, diff, wait", p)
		}
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// compile builds a C file of this directory.
func (b *bench) compile(out, src string, flags ...string) (string, error) {
	path := filepath.Join(b.work, out)
	args := append([]string{"-O2", "-g", "-pthread", "-o", path, filepath.Join(b.src, src)}, flags...)
	return path, quiet(exec.Command("cc", args...))
}

// quiet runs a command and returns what it printed if it fails.
func quiet(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// table is a Markdown table in the making.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

// print writes the table with aligned columns.
func (t table) print(title string) {
	fmt.Printf("\n### %s\n\n", title)
	width := make([]int, len(t[0]))
	for _, r := range t {
		for i, c := range r {
			width[i] = max(width[i], len(c))
		}
	}
	for i, r := range t {
		for j, c := range r {
			fmt.Printf("| %-*s ", width[j], c)
		}
		fmt.Println("|")
		if i == 0 {
			for _, w := range width {
				fmt.Print("|", strings.Repeat("-", w+2))
			}
			fmt.Println("|")
		}
	}
}

// median returns the median; v is not empty.
func median[T int | int64 | uint64 | float64 | time.Duration](v []T) T {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// ms returns a time in milliseconds for a table.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1e6) }
