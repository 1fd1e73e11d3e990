package image

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// separated is a program whose symbols were moved into a debug file.
type separated struct {
	full, bare, debug string // paths: the original, the stripped program, its debug file
	id                string // build-id, in hexadecimal
}

// separate builds places.c and splits it, in a directory of the test.
func separate(t *testing.T, flags ...string) separated {
	t.Helper()
	return separateFrom(t, programs[0].sources, flags...)
}

// separateFrom is separate for other sources.
func separateFrom(t *testing.T, sources []string, flags ...string) separated {
	t.Helper()
	full := victim.Build(t, "gcc", sources, append([]string{"-O2", "-g", "-lm", "-Wl,--build-id"}, flags...)...)
	dir := t.TempDir()
	s := separated{full: full, bare: filepath.Join(dir, "bare"), debug: filepath.Join(dir, "bare.debug")}
	tool(t, "objcopy", "--only-keep-debug", full, s.debug)
	tool(t, "objcopy", "--strip-all", full, s.bare)
	im := mustLoad(t, full, Options{})
	s.id = hex.EncodeToString(im.BuildID)
	want := 20 // SHA-1, by default
	if !im.HasBuildID {
		want = 32 // of the contents
	}
	if len(im.BuildID) != want {
		t.Fatalf("build-id %x has not %d bytes", im.BuildID, want)
	}
	return s
}

// copyTo copies a file, making its directory.
func copyTo(t *testing.T, from, to string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// same checks that an image with a separate debug file is like the full one.
func (s *separated) same(t *testing.T, im *Image, debug string) {
	t.Helper()
	full := mustLoad(t, s.full, Options{})
	if im.DebugPath != debug {
		t.Errorf("debug file %q, want %q", im.DebugPath, debug)
	}
	if len(im.Atoms) != len(full.Atoms) {
		t.Fatalf("%d atoms, the full file has %d", len(im.Atoms), len(full.Atoms))
	}
	for i, a := range im.Atoms {
		b := full.Atoms[i]
		if a.Name != b.Name || a.Addr != b.Addr || a.Size != b.Size || a.Kind != b.Kind || a.File != b.File || a.Section.Name != b.Section.Name {
			t.Errorf("atom %+v, in the full file %+v", a, b)
		}
	}
	x, y := im.mustBody(t, "uses_switch"), full.mustBody(t, "uses_switch")
	if len(x.Insts) != len(y.Insts) || len(x.Refs) != len(y.Refs) || string(x.Code) != string(y.Code) {
		t.Error("uses_switch decodes differently")
	}
	rows, err := im.Lines(im.atom(t, "uses_switch"))
	if err != nil || len(rows) < 8 || !strings.HasSuffix(rows[0].File, "places.c") {
		t.Errorf("%d line rows: %v", len(rows), err)
	}
}

func TestDebugFileFound(t *testing.T) {
	t.Run("given", func(t *testing.T) {
		s := separate(t)
		im, err := Load(s.bare, Options{Debug: s.debug, DebugRoots: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		s.same(t, im, s.debug)
	})
	t.Run("build-id directory", func(t *testing.T) {
		s := separate(t)
		root := t.TempDir()
		debug := copyTo(t, s.debug, filepath.Join(root, ".build-id", s.id[:2], s.id[2:]+".debug"))
		im, err := Load(s.bare, Options{DebugRoots: []string{t.TempDir(), root}})
		if err != nil {
			t.Fatal(err)
		}
		s.same(t, im, debug)
	})
	for _, where := range []string{"", ".debug"} {
		t.Run("debuglink "+where, func(t *testing.T) {
			s := separate(t, "-Wl,--build-id=none")
			linked := s.linked(t)
			debug := copyTo(t, s.debug, filepath.Join(filepath.Dir(linked), where, "bare.debug"))
			im, err := Load(linked, Options{DebugRoots: []string{}})
			if err != nil {
				t.Fatal(err)
			}
			s.same(t, im, debug)
		})
	}
	t.Run("debuglink below a root", func(t *testing.T) {
		s := separate(t)
		linked, root := s.linked(t), t.TempDir()
		debug := copyTo(t, s.debug, filepath.Join(root, filepath.Dir(linked), "bare.debug"))
		im, err := Load(linked, Options{DebugRoots: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		s.same(t, im, debug)
	})
	for _, name := range []string{"bare.debug", "linked.debug"} { // as the link has it, and as people call it
		t.Run("in a directory as "+name, func(t *testing.T) {
			s := separate(t)
			linked, root := s.linked(t), t.TempDir()
			debug := copyTo(t, s.debug, filepath.Join(root, name))
			im, err := Load(linked, Options{DebugRoots: []string{root}})
			if err != nil {
				t.Fatal(err)
			}
			s.same(t, im, debug)
		})
	}
	t.Run("compressed debug sections", func(t *testing.T) {
		s := separate(t)
		z := s.debug + ".z"
		tool(t, "objcopy", "--compress-debug-sections=zlib", s.debug, z)
		im, err := Load(s.bare, Options{Debug: z})
		if err != nil {
			t.Fatal(err)
		}
		s.same(t, im, z)
	})
}

// linked makes a stripped program with a .gnu_debuglink, in a directory of its own.
func (s *separated) linked(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "linked")
	tool(t, "objcopy", "--add-gnu-debuglink="+s.debug, s.bare, out)
	return out
}

func TestDebugFileRefused(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		s := separate(t)
		root := t.TempDir()
		_, err := Load(s.linked(t), Options{DebugRoots: []string{root}, DebugCaches: []string{root}})
		var missing *NoSymbolsError
		if !errors.As(err, &missing) {
			t.Fatalf("got %v, want a NoSymbolsError", err)
		}
		if hex.EncodeToString(missing.BuildID) != s.id || len(missing.Tried) != 7 {
			t.Errorf("error %+v names not the build-id %s and seven paths", missing, s.id)
		}
		for _, want := range []string{s.id, filepath.Join(root, ".build-id", s.id[:2]), "bare.debug", "does not exist",
			filepath.Join(root, "linked.debug"), filepath.Join(root, s.id, "debuginfo"), "NAME-dbgsym"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("message %q does not hold %q", err, want)
			}
		}
	})
	t.Run("another build", func(t *testing.T) {
		s, other := separate(t), separate(t, "-DOTHER", "-O1")
		_, err := Load(s.bare, Options{Debug: other.debug})
		if err == nil || !strings.Contains(err.Error(), "the debug file that was named does not serve") || !strings.Contains(err.Error(), "its build-id is "+other.id) {
			t.Errorf("got %v, want the other's build-id %s", err, other.id)
		}
		root := t.TempDir()
		copyTo(t, other.debug, filepath.Join(root, "bare.debug"))
		if _, err := Load(s.bare, Options{DebugRoots: []string{root}}); err == nil || !strings.Contains(err.Error(), "its build-id is "+other.id) {
			t.Errorf("by its name: got %v, want the other's build-id %s", err, other.id)
		}
	})
	t.Run("wrong checksum", func(t *testing.T) {
		s := separate(t, "-Wl,--build-id=none")
		linked := s.linked(t)
		debug := copyTo(t, s.debug, filepath.Join(filepath.Dir(linked), "bare.debug"))
		f, err := os.OpenFile(debug, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("x")
		f.Close()
		if _, err := Load(linked, Options{}); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("got %v, want a wrong checksum", err)
		}
	})
	t.Run("stripped debug file", func(t *testing.T) {
		s := separate(t)
		if _, err := Load(s.bare, Options{Debug: s.bare}); err == nil || !strings.Contains(err.Error(), "has no symbols") {
			t.Errorf("got %v", err)
		}
	})
}
