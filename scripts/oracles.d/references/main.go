// Command references compares the references that are found in linked files with those that the linker names.
//
//	references NAME FILE TWIN...
//
// TWIN is the same link with -Wl,--emit-relocs. The exit status is 1 if any reference is wrong.
package main

import (
	"fmt"
	"io"
	"os"

	"hotpatch/internal/references"
)

func main() {
	if len(os.Args) < 4 || len(os.Args)%3 != 1 {
		fmt.Fprintln(os.Stderr, "usage: references NAME FILE TWIN...")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "references:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	fmt.Fprintf(out, "%-12s %10s %10s %10s %10s %10s %10s %6s %8s %6s\n", "program", "references", "by name", "by address", "ambiguous", "unresolved", "undecoded", "dead", "local", "wrong")
	wrong := 0
	for ; len(args) > 0; args = args[3:] {
		t, err := references.Check(args[1], args[2])
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-12s %10d %10d %10d %10d %10d %10d %6d %8d %6d\n", args[0], t.References, t.Named, t.Address, t.Ambiguous, t.Unresolved, t.Undecoded, t.Dead, t.Local, len(t.Wrong))
		for _, w := range t.Wrong {
			fmt.Fprintln(out, "   ", w)
		}
		wrong += len(t.Wrong)
	}
	if wrong > 0 {
		return fmt.Errorf("%d wrong references", wrong)
	}
	return nil
}
