// Command mutate changes one thing after the other in a linked file and checks what the differ says of each.
//
//	mutate -n 10000 -seed 1 FILE TWIN
//
// TWIN is the same link with -Wl,--emit-relocs. The exit status is 1 if anything is missed or invented.
package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"hotpatch/internal/mutate"
)

func main() {
	n := flag.Int("n", 1000, "`number` of mutations")
	seed := flag.Uint64("seed", 1, "`number` that the choice depends on")
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdout, flag.Arg(0), flag.Arg(1), *seed, *n); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, file, twin string, seed uint64, n int) error {
	p, err := mutate.Load(file, twin)
	if err != nil {
		return err
	}
	all, err := p.Draw(seed, n)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	diff, err := mutate.Elfdiff(file)
	if err != nil {
		return err
	}
	r, err := mutate.Run(p, all, dir, diff, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	r.Print(out)
	if len(r.Failures) > 0 {
		return fmt.Errorf("%d failures", len(r.Failures))
	}
	return nil
}
