package types

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestDwz: what dwz moved to partial units, and to a file that several share, is read as before.
func TestDwz(t *testing.T) {
	for _, v := range []struct {
		name  string
		multi bool // with an alternate file
	}{{"one file", false}, {"alternate file", true}} {
		t.Run(v.name, func(t *testing.T) {
			dir := t.TempDir()
			var files []string
			for _, x := range []struct{ cc, source string }{{"gcc", "types/changes.c"}, {"g++", "types/changes.cc"}} {
				old, new := versions(t, x.cc, x.source)
				for _, from := range []string{old, new} {
					data, err := os.ReadFile(from)
					if err != nil {
						t.Fatal(err)
					}
					file := filepath.Join(dir, string(rune('a'+len(files))))
					if err := os.WriteFile(file, data, 0o755); err != nil {
						t.Fatal(err)
					}
					files = append(files, file)
				}
			}
			args, common := files, filepath.Join(dir, "common")
			if v.multi {
				args = append([]string{"-m", common}, files...)
			}
			cmd := exec.Command("dwz", args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
			read := func(file string) *Build {
				s := sections(t, file)
				if v.multi {
					s.Alt = sections(t, common)
				}
				b, err := Read(s)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			for i, want := range []map[string]string{changesC, changesCC} {
				got := found(NewComparison(read(files[2*i]), read(files[2*i+1])))
				if !maps.EqualFunc(got, want, func(a, b string) bool { return spelling.Replace(a) == spelling.Replace(b) }) {
					t.Errorf("got %v\nwant %v", got, want)
				}
			}
			if _, err := Read(sections(t, files[0])); v.multi && err == nil {
				t.Error("read without its alternate file")
			}
		})
	}
}
