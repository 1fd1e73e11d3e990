// accuracy holds the differ against the truth on the pairs of scripts/corpus.
//
//	accuracy -hotpatch FILE <INDEX
//
// INDEX is what scripts/corpus prints. Two tables are printed: which functions and data objects differ, and what becomes of the
// fixes. The exit code is 1 if the differ missed anything, told a change for a line number, or invented more than half a percent.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"

	"hotpatch/internal/truth"
)

func main() {
	hotpatch := flag.String("hotpatch", "hotpatch", "the `program` to judge")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *hotpatch); err != nil {
		fmt.Fprintf(os.Stderr, "accuracy: %v\n", err)
		os.Exit(1)
	}
}

// pair is one line of the index.
type pair struct {
	program, release, version, patch string
	old, new                         string // linked files
}

func (p *pair) String() string { return p.program + "/" + p.release + " " + p.patch }

func readIndex(r io.Reader) ([]pair, error) {
	var out []pair
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 6 {
			return nil, fmt.Errorf("index: %q has %d fields, not 6", lines.Text(), len(f))
		}
		out = append(out, pair{program: f[0], release: f[1], version: f[2], patch: f[3], old: f[4], new: f[5]})
	}
	if len(out) == 0 {
		return nil, errors.New("index: no pairs")
	}
	return out, lines.Err()
}

// result is what one pair gives.
type result struct {
	pair
	functions score
	data      score
	fate      fate
	err       error
}

func run(in io.Reader, out io.Writer, hotpatch string) error {
	pairs, err := readIndex(in)
	if err != nil {
		return err
	}
	results := make([]result, len(pairs))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				results[i] = judge(pairs[i], hotpatch)
			}
		})
	}
	for i := range pairs {
		next <- i
	}
	close(next)
	wg.Wait()
	return print(out, results)
}

// judge compares one pair in both ways.
func judge(p pair, hotpatch string) result {
	r := result{pair: p}
	old, err1 := truth.ReadUnits(p.old + ".units")
	new, err2 := truth.ReadUnits(p.new + ".units")
	if r.err = errors.Join(err1, err2); r.err != nil {
		return r
	}
	t, err := truth.Compare(old, new)
	if err != nil {
		r.err = err
		return r
	}
	d, err := diff(hotpatch, p.old, p.new)
	if err != nil {
		r.err = err
		return r
	}
	r.functions = compareFunctions(t, d)
	r.data = compareData(t, d)
	r.fate, r.err = fateOf(hotpatch, &p, d)
	return r
}
