package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hotpatch/internal/victim"
)

// tiny mounts a file system with room for one page.
func tiny(t *testing.T, flags uintptr) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "size=4k"); err != nil {
		t.Fatalf("mount a small tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// entries lists the names in a directory; "" if it is none.
func entries(dir string) string {
	all, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// content returns what a regular file holds, and "" for anything else.
func content(path string) string {
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// fullDisk returns a directory without room, with one file in it, of one page.
func fullDisk(t *testing.T, file string, data []byte) string {
	t.Helper()
	dir := tiny(t, 0)
	if len(data) == 0 || len(data) > os.Getpagesize() {
		t.Fatalf("%d bytes do not fill one page", len(data))
	}
	if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What cannot be written leaves the directory as it was.
func TestDiffOutputFails(t *testing.T) {
	old, next := greet(t, 1), greet(t, 2)
	tests := []struct {
		name string
		dir  func(t *testing.T) string
		want string // in the error
	}{
		{name: "full disk", dir: func(t *testing.T) string { return fullDisk(t, "ballast", []byte("x")) }, want: "no space left"},
		{name: "full disk, old file stays", dir: func(t *testing.T) string { return fullDisk(t, "fix.patch", []byte(content(fix(t, 2, 3)))) }, want: "no space left"},
		{name: "read-only", dir: func(t *testing.T) string { return tiny(t, syscall.MS_RDONLY) }, want: "read-only file system"},
		{name: "no such directory", dir: func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }, want: "no such file or directory"},
		{name: "below a file", dir: func(*testing.T) string { return old }, want: "not a directory"},
		{name: "a directory", dir: func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "fix.patch"), 0o755); err != nil {
				t.Fatal(err)
			}
			return dir
		}, want: "not a regular file"},
		{name: "a device", dir: func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Symlink("/dev/full", filepath.Join(dir, "fix.patch")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, want: "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.dir(t)
			path := filepath.Join(dir, "fix.patch")
			before, list := content(path), entries(dir)
			hotpatch("diff", old, next, "-o", path).wantError(t, exitFailed, "write", tt.want)
			if content(path) != before {
				t.Error("the old file changed")
			}
			if after := entries(dir); after != list {
				t.Errorf("the directory held %q and holds %q", list, after)
			}
		})
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ path, data string }{{path, "first"}, {path, "second, longer"}, {link, "third"}} {
		if err := writeFile(step.path, []byte(step.data)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != step.data {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, step.data)
		}
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", st, err)
	}
	if got := entries(dir); got != "a link" {
		t.Errorf("the directory holds %q", got)
	}
}

// Output that cannot be written is a failure, and after a change one that does not say "nothing changed".
func TestOutputFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	old, next, good := greet(t, 1), greet(t, 2), fix(t, 1, 2)
	v := victim.Start(t, old)
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{name: "diff", args: []string{"diff", old, next}, code: exitFailed, want: "could not be written"},
		{name: "diff, JSON", args: []string{"diff", old, next, "--json"}, code: exitFailed, want: "could not be written"},
		{name: "inspect", args: []string{"inspect", good}, code: exitFailed, want: "could not be written"},
		{name: "list", args: []string{"list", "-p", pidOf(v), "--json"}, code: exitFailed, want: "could not be written"},
		{name: "dry run", args: []string{"apply", "-p", pidOf(v), "--dry-run", good}, code: exitFailed, want: "could not be written"},
		{name: "apply", args: []string{"apply", "-p", pidOf(v), "--json", good}, code: exitAttention, want: "it was changed"},
		{name: "revert", args: []string{"revert", "-p", pidOf(v)}, code: exitAttention, want: "it was changed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := Run(tt.args, full, &stderr)
			result{code: code, err: stderr.String()}.wantError(t, tt.code, tt.want, "no space left")
		})
	}
}

// -o behind the wrong word does not cost the user a file.
func TestDiffOutputInTheWay(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old, next := put("old", content(greet(t, 1)), 0o755), put("new", content(greet(t, 2)), 0o755)
	notes := put("notes", "not to be lost", 0o644)
	debug := filepath.Join(dir, "debug")
	if msg, err := exec.Command("objcopy", "--only-keep-debug", old, debug).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, msg)
	}
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	if err := errors.Join(os.Symlink("new", link), os.Link(old, hard)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		output string
		code   int
		want   string
	}{
		{name: "OLD", output: old, code: exitUsage, want: "that is the file of OLD"},
		{name: "NEW", output: next, code: exitUsage, want: "that is the file of NEW"},
		{name: "NEW by a symbolic link", output: link, code: exitUsage, want: "that is the file of NEW"},
		{name: "OLD by another name", output: hard, code: exitUsage, want: "that is the file of OLD"},
		{name: "a debug file", output: debug, code: exitUsage, want: "that is the file of --debug-old"},
		{name: "a text file", output: notes, code: exitFailed, want: "not replaced"},
		{name: "another program", output: put("other", content(greet(t, 3)), 0o755), code: exitFailed, want: "not replaced"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := content(tt.output)
			hotpatch("diff", old, next, "--debug-old", debug, "-o", tt.output).wantError(t, tt.code, "-o "+tt.output, tt.want)
			if content(tt.output) != before {
				t.Error("the file changed")
			}
		})
	}
	// A patch, or nothing, is replaced; the file keeps its mode.
	for _, path := range []string{put("fix.patch", content(fix(t, 2, 3)), 0o640), put("empty", "", 0o640)} {
		before := content(path)
		r := hotpatch("diff", old, next, "-o", path)
		if _, err := readPatch(path); r.code != exitDone || err != nil || content(path) == before {
			t.Errorf("%s: exit code %d, then %v\n%s%s", path, r.code, err, r.out, r.err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
			t.Errorf("%s: mode %v, %v; want 0640", path, st.Mode(), err)
		}
	}
}
