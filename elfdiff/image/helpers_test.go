package image

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// tool runs a program and returns what it prints; a failure fails the test.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var msg strings.Builder
	cmd.Stderr = &msg
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, msg.String())
	}
	return string(out)
}

// atom returns the only atom of the name.
func (im *Image) atom(t testing.TB, name string) *Atom {
	t.Helper()
	as := im.Named(name)
	if len(as) != 1 {
		t.Fatalf("%d atoms named %s", len(as), name)
	}
	return as[0]
}

// mustBody decodes the function of the name.
func (im *Image) mustBody(t testing.TB, name string) *Body {
	t.Helper()
	b, err := im.Body(im.atom(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loadBytes is Load for a file that is in memory and holds its own symbols. The name stands for its path.
func loadBytes(name string, r io.ReaderAt, size uint64) (*Image, error) {
	f, err := newFile(name, r, size)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	im, err := load(f, Options{DebugRoots: []string{}, DebugCaches: []string{}})
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	return im, nil
}
