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
	"hotpatch/internal/table"
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
	var t table.Table
	t.Row("program", "references", "by name", "static", "beside", "by address", "ambiguous", "unresolved", "undecoded", "dead", "pages", "local", "anchored", "wrong")
	wrong := 0
	for ; len(args) > 0; args = args[3:] {
		r, err := references.Check(args[1], args[2])
		if err != nil {
			return err
		}
		t.Row(args[0], r.References, r.Named, r.Static, r.Beside, r.Address, r.Ambiguous, r.Unresolved, r.Undecoded, r.Dead, r.Pages, r.Local, r.Anchored, len(r.Wrong))
		for _, w := range r.Wrong {
			t.Note(w)
		}
		wrong += len(r.Wrong)
	}
	t.Write(out)
	if wrong > 0 {
		return fmt.Errorf("%d wrong references", wrong)
	}
	return nil
}
