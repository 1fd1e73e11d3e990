package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The oracle is cpio(1), which unpacks what was packed.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	for name, text := range map[string]string{"a": "", "b/c": "xyz", "b/d/e": strings.Repeat("0123456789", 1000)} {
		file := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	a := NewArchive(&b)
	a.Dir("/empty")
	a.Add("/f", 0o640, []byte("12345"))
	a.Link("/lib/l", "../f")
	a.AddTree("/tree", src, []string{"a", "b/c", "b/d/e"})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = out, &b
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, text)
	}
	for name, want := range map[string]string{"f": "12345", "lib/l": "12345", "tree/a": "", "tree/b/c": "xyz"} {
		if have, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(have) != want {
			t.Errorf("%s: %q, %v; want %q", name, have, err, want)
		}
	}
	if err := exec.Command("diff", "-r", filepath.Join(out, "tree"), src).Run(); err != nil {
		t.Errorf("the tree differs: %v", err)
	}
	for name, mode := range map[string]os.FileMode{"f": 0o640, "empty": os.ModeDir | 0o755, "tree/b/d": os.ModeDir | 0o755, "tree/a": 0o755} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want %v", name, info, err, mode)
		}
	}
}

func TestArchiveRefuses(t *testing.T) {
	tests := []struct {
		name string
		add  func(*Archive)
		want string
	}{
		{name: "no such file", add: func(a *Archive) { a.AddFile("/f", filepath.Join(t.TempDir(), "none")) }, want: "no such file"},
		{name: "directory", add: func(a *Archive) { a.AddFile("/f", t.TempDir()) }, want: "is a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := NewArchive(new(bytes.Buffer))
			test.add(a)
			a.Add("/g", 0o644, nil)
			if err := a.Close(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}
