// Same writes what the differ makes of pairs of builds, or compares it with what it made of them on another machine, for the tests of
// package guest.
//
//	same write|check DIRECTORY...
//
// Each directory has the files old and new, and gets (or has) the file result: the bytes of the patch, or the report where there is none.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/image"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "same:", err)
		os.Exit(1)
	}
}

func run(verb string, dirs []string) error {
	var bad error
	patches := 0
	for _, dir := range dirs {
		got, patch, err := result(filepath.Join(dir, "old"), filepath.Join(dir, "new"))
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if patch {
			patches++
		}
		file := filepath.Join(dir, "result")
		if verb == "write" {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				return err
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			bad = errors.Join(bad, fmt.Errorf("%s: %d bytes, the other machine made %d others", dir, len(got), len(want)))
		}
	}
	fmt.Printf("%s on %s: %d pairs, %d patches\n", verb, runtime.GOARCH, len(dirs), patches)
	return bad
}

// result compares two builds, with every word given that is asked for.
func result(old, new string) (bytes []byte, patch bool, err error) {
	var im [2]*image.Image
	for i, path := range []string{old, new} {
		if im[i], err = image.Load(path, image.Options{}); err != nil {
			return nil, false, err
		}
	}
	opt := elfdiff.Options{User: "test", Date: time.Unix(0, 0)}
	r, err := elfdiff.Diff(im[0], im[1], opt)
	if err == nil && r.Patch == nil && len(r.Missing) > 0 {
		opt.Acks = r.Missing
		r, err = elfdiff.Diff(im[0], im[1], opt)
	}
	if err != nil {
		return nil, false, err
	}
	if r.Patch == nil {
		bytes, err = json.MarshalIndent(r.Changes, "", "\t")
		return bytes, false, err
	}
	f, err := r.Patch.Encode()
	if err != nil {
		return nil, false, err
	}
	return f.Raw, true, nil
}
