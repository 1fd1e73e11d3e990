// Command reasons holds the reasons of a report against binutils: hotpatch diff --json on its standard input, the two builds
// as its arguments. It prints what is not so; exit code 1 then.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"hotpatch/elfdiff/patch"
	"hotpatch/internal/reasons"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reasons:", err)
		os.Exit(1)
	}
}

// report is what is read of hotpatch diff --json.
type report struct {
	Functions []change `json:"functions"`
	Data      []change `json:"data"`
	Others    []change `json:"others"`
}

type change struct {
	ID int `json:"id"`
	patch.Change
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: hotpatch diff OLD NEW --json | reasons OLD NEW")
	}
	var r report
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	all := slices.Concat(r.Functions, r.Data, r.Others)
	changes := make([]patch.Change, len(all)) // by ID
	for _, c := range all {
		if c.ID < 1 || c.ID > len(changes) {
			return fmt.Errorf("change %s has ID %d of %d", c.Name, c.ID, len(changes))
		}
		changes[c.ID-1] = c.Change
	}
	wrong, checked, err := reasons.Check(args[0], args[1], changes)
	if err != nil {
		return err
	}
	for _, s := range wrong {
		fmt.Fprintln(out, s)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d statements are not so", len(wrong), checked)
	}
	fmt.Fprintf(out, "%d statements about %d functions are so, by objdump and addr2line\n", checked, len(r.Functions))
	return nil
}
