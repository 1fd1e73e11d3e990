package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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

// entries lists a directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
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

// What cannot be written leaves the directory as it was.
func TestDiffOutputFails(t *testing.T) {
	old, next := greet(t, 1), greet(t, 2)
	tests := []struct {
		name string
		path func(t *testing.T) string
		want string
	}{
		{
			name: "full disk",
			path: func(t *testing.T) string {
				dir := tiny(t, 0)
				if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, os.Getpagesize()), 0o644); err != nil {
					t.Fatal(err)
				}
				return filepath.Join(dir, "fix.patch")
			},
			want: "no space left",
		},
		{
			name: "full disk, old file stays",
			path: func(t *testing.T) string {
				dir := tiny(t, 0)
				path := filepath.Join(dir, "fix.patch")
				if err := os.WriteFile(path, make([]byte, os.Getpagesize()), 0o644); err != nil {
					t.Fatal(err)
				}
				return path
			},
			want: "no space left",
		},
		{
			name: "read-only file system",
			path: func(t *testing.T) string { return filepath.Join(tiny(t, syscall.MS_RDONLY), "fix.patch") },
			want: "read-only file system",
		},
		{
			name: "no such directory",
			path: func(t *testing.T) string { return filepath.Join(t.TempDir(), "none", "fix.patch") },
			want: "no such file or directory",
		},
		{
			name: "a directory",
			path: func(t *testing.T) string { return t.TempDir() },
			want: "not a regular file",
		},
		{
			name: "a device",
			path: func(t *testing.T) string { return "/dev/full" },
			want: "not a regular file",
		},
		{
			name: "below a file",
			path: func(t *testing.T) string { return filepath.Join(old, "fix.patch") },
			want: "not a directory",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := tt.path(t)
			before := content(path)
			var list []string
			if st, err := os.Stat(filepath.Dir(path)); err == nil && st.IsDir() && filepath.Dir(path) != "/dev" {
				list = entries(t, filepath.Dir(path))
			}
			hotpatch("diff", old, next, "-o", path).wantError(t, exitFailed, "write", tt.want)
			if content(path) != before {
				t.Error("the old file changed")
			}
			if list != nil {
				if after := entries(t, filepath.Dir(path)); strings.Join(after, " ") != strings.Join(list, " ") {
					t.Errorf("the directory held %q and holds %q", list, after)
				}
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
	if got := entries(t, dir); strings.Join(got, " ") != "a link" {
		t.Errorf("the directory holds %q", got)
	}
}
