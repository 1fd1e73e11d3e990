package elfdiff_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"hotpatch/elfdiff"
	"hotpatch/elfdiff/patch"
	"hotpatch/internal/pairs"
	"hotpatch/internal/victim"
)

func pairNamed(t testing.TB, name string) *pairs.Pair {
	t.Helper()
	for _, p := range pairs.Load(t) {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no pair %s", name)
	return nil
}

func encode(t testing.TB, old, new string) []byte {
	t.Helper()
	r, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{User: "test", Date: time.Unix(0, 0)})
	if err != nil || r.Patch == nil {
		t.Fatalf("diff: %v, %+v", err, r)
	}
	f, err := r.Patch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return f.Raw
}

// TestDeterminism: the same builds give the same bytes, on any number of cores.
func TestDeterminism(t *testing.T) {
	for _, name := range []string{"twins", "jumptable", "rotable", "newdata", "nullmiddle"} {
		old, new := pairNamed(t, name).Build(t, "gcc")
		first := encode(t, old, new)
		for _, cores := range []int{1, 2, 4} {
			before := runtime.GOMAXPROCS(cores)
			again := encode(t, old, new)
			runtime.GOMAXPROCS(before)
			if !bytes.Equal(first, again) {
				t.Errorf("%s: another patch on %d cores", name, cores)
			}
		}
	}
}

var frameAddr = regexp.MustCompile(`(?m)^[0-9a-f]{16} `)

// TestFrames: readelf shows the patch's call frame information without a warning, and its rows are those of the
// new build.
func TestFrames(t *testing.T) {
	old, new := pairNamed(t, "jumptable").Build(t, "gcc")
	file := filepath.Join(t.TempDir(), "patch")
	if err := os.WriteFile(file, encode(t, old, new), 0o600); err != nil {
		t.Fatal(err)
	}
	got := frameRows(t, file, "")
	addr := strings.Fields(run(t, "nm", new)[strings.Index(run(t, "nm", new), " T name")-16:])[0]
	want := frameRows(t, new, addr)
	if len(got) == 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("rows of the patch:\n%s\nof the new build:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// frameRows lists the rows of the FDE that begins at an address, or of the only one, with addresses counted from it.
func frameRows(t *testing.T, file, start string) []string {
	t.Helper()
	out := run(t, "readelf", "--debug-dump=frames-interp", file)
	if strings.Contains(strings.ToLower(out), "warning") {
		t.Fatalf("readelf warns:\n%s", out)
	}
	var rows []string
	for _, record := range strings.Split(out, "\n\n") {
		if !strings.Contains(record, " FDE ") || !strings.Contains(record, "pc="+start) {
			continue
		}
		n := 0
		for _, line := range strings.Split(record, "\n") {
			if frameAddr.MatchString(line) && !strings.Contains(line, "FDE") {
				rows = append(rows, strings.Join(strings.Fields(line)[1:], " "))
				n++
			}
		}
		if n > 0 {
			return rows
		}
	}
	return rows
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestReasons: what a person reads.
func TestReasons(t *testing.T) {
	for _, c := range []struct{ pair, name, want string }{
		{"inlined", "left", "code inlined from base (1 place)"},
		{"inlineroot", "first", "inlines base (3 places)"},
		{"inlineroot", "base", "first, second differ in nothing but code inlined from it"},
		{"string", "greet", "string "},
		{"caseorder", "code", "the same 4 constants in another order"},
		{"logic", "price", "own code (2 places)"},
		{"jumptable", "name", "a jump table of another size"},
		{"newdata", "bump", "only the new build has it"},
		{"removed", "twice", "only the old build has it"},
		{"catches", "_Z5guardi", "what it catches, or where it cleans up"},
		{"nullist", "answer", "data behind one of its constants without a name"},
		{"resized", "primes", "size 12 -> 20"},
		{"inlinedcode", "user", "inlines check, which changed (2 places)"},
	} {
		t.Run(c.pair, func(t *testing.T) {
			old, new := pairNamed(t, c.pair).Build(t, "gcc")
			r, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, ch := range r.Changes {
				if ch.Name == c.name {
					if got := strings.Join(texts(ch.Reasons), "; "); !strings.Contains(got, c.want) {
						t.Errorf("%s: reasons %q, want %q", c.name, got, c.want)
					}
					return
				}
			}
			t.Errorf("%s is not reported", c.name)
		})
	}
}

func texts(l []patch.Reason) []string {
	var out []string
	for _, r := range l {
		out = append(out, r.Text)
	}
	return out
}

// TestSameBuild: a file that is compared with itself differs in nothing.
func TestSameBuild(t *testing.T) {
	intext := filepath.Join(t.TempDir(), "intext")
	run(t, "gcc", "-O2", "-fPIE", "-pie", "-Wl,--build-id", "-o", intext, filepath.Join(victim.Root(t), "testdata", "image", "intext.c"))
	builds := []string{intext}
	for _, p := range pairs.Load(t) {
		old, _ := p.Build(t, "gcc")
		builds = append(builds, old)
	}
	for _, file := range builds {
		r, err := elfdiff.Diff(load(t, file), load(t, file), elfdiff.Options{})
		if err != nil || len(r.Changes) != 0 || r.Patch != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestLonelyEndWithRelocs: what is refused without relocations as ambiguous is told by them.
func TestLonelyEndWithRelocs(t *testing.T) {
	old, new := pairNamed(t, "lonelyend").Build(t, "gcc", "-Wl,--emit-relocs")
	r, err := elfdiff.Diff(load(t, old), load(t, new), elfdiff.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Patch == nil {
		t.Fatalf("no patch: %+v", r.Changes)
	}
	for _, s := range r.Patch.Symbols {
		if s.Name == "between" {
			t.Errorf("the patch refers to between: %+v", s)
		}
	}
}

// TestElsewhere: the same source, built in another directory, differs in nothing.
func TestElsewhere(t *testing.T) {
	p := pairNamed(t, "twins")
	old, _ := p.Build(t, "gcc")
	out := filepath.Join(t.TempDir(), "twins")
	args := []string{"-DV=1", "-O2", "-g", "-fPIE", "-pie", "-Wl,--build-id", "-Wl,-z,noseparate-code", "-o", out}
	dir := filepath.Dir(out)
	for _, s := range append([]string{"pairs/pair.h"}, p.Sources...) {
		b, err := os.ReadFile(filepath.Join(victim.Root(t), "testdata", s))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, filepath.Base(s))
		if err := os.WriteFile(copied, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(s, ".c") {
			args = append([]string{copied}, args...) // the other way round than in old
		}
	}
	run(t, "gcc", args...)
	r, err := elfdiff.Diff(load(t, old), load(t, out), elfdiff.Options{})
	if err != nil || len(r.Changes) != 0 {
		t.Errorf("%v, %+v", err, r.Changes)
	}
}
