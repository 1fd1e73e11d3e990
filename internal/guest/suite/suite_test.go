package suite

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// cpu is the guest's usual one: what it runs counts.
const cpu = "max,pauth-impdef=on"

func read(t *testing.T) *Suite {
	t.Helper()
	f, err := os.Open(filepath.Join(victim.Root(t), "scripts", "guest.d", "tests"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pkg is what "go list -json -test" says of a package, or of its tests' program.
type pkg struct {
	ImportPath, ForTest, Dir  string
	TestGoFiles, XTestGoFiles []string
	Deps                      []string

	tests map[string]bool // functions
	live  bool            // its tests come to package ptrace
}

// packages returns those that have tests on an architecture, by path from the root.
func packages(t *testing.T, goarch string) map[string]*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-test", "-json=ImportPath,ForTest,Dir,TestGoFiles,XTestGoFiles,Deps", "./...")
	cmd.Dir, cmd.Stderr, cmd.Env = victim.Root(t), os.Stderr, append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+goarch)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	all := make(map[string]*pkg)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		path := strings.TrimPrefix(p.ImportPath, "hotpatch/")
		if of, ok := strings.CutSuffix(path, ".test"); ok && all[of] != nil {
			all[of].live = slices.ContainsFunc(p.Deps, func(d string) bool { d, _, _ = strings.Cut(d, " "); return d == "hotpatch/ptrace" })
		} else if p.ForTest == "" {
			if p.tests = tests(t, &p); len(p.tests) > 0 {
				all[path] = &p
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("go list found no tests")
	}
	return all
}

// tests returns the test functions of a package.
func tests(t *testing.T, p *pkg) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" {
				found[fn.Name.Name] = true
			}
		}
	}
	return found
}

// Every test function of every package is run in the guest, or named with a reason; and what is named is there.
func TestComplete(t *testing.T) {
	s := read(t)
	x86, arm64 := packages(t, "amd64"), packages(t, "arm64")
	listed := make(map[string]bool)
	for _, b := range s.Boots {
		for _, p := range b.Packages {
			if arm64[p.Path] == nil {
				t.Errorf("%s has no tests", p.Path)
			}
			listed[p.Path] = true
		}
	}
	for _, h := range s.Host {
		if p := x86[h.Package]; p == nil || listed[h.Package] || p.live {
			t.Errorf("%s is said to run on the host only; but it has no tests, or is run in the guest, or touches processes", h.Package)
		}
		x86[h.Package] = nil
	}
	for _, path := range slices.Sorted(maps.Keys(x86)) {
		switch {
		case x86[path] == nil:
		case !listed[path]:
			t.Errorf("%s is not listed", path)
		default:
			checkTests(t, s, path, x86[path].tests, arm64[path].tests)
		}
	}
}

// checkTests holds the list against the test functions that one package has on each architecture.
func checkTests(t *testing.T, s *Suite, path string, x86, arm64 map[string]bool) {
	t.Helper()
	left := make(map[string]Exception)
	for _, e := range s.Exceptions {
		name, _, sub := strings.Cut(e.Test, "/")
		if e.Package != path {
			continue
		}
		if !x86[name] && !arm64[name] {
			t.Errorf("%s: there is no %s", path, name)
		}
		if !sub {
			left[name] = e
		}
	}
	for name := range arm64 {
		if _, excepted := left[name]; !excepted && !s.Runs(cpu, path, name) {
			t.Errorf("%s: %s is neither run nor left out by name", path, name)
		}
	}
	for name := range x86 {
		if !arm64[name] && !left[name].X86 {
			t.Errorf("%s: %s is compiled for x86-64 only, and not listed as such", path, name)
		}
	}
}

// The README names the tests that run on x86-64 only, and why.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(victim.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## arm64\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if want := read(t).Table(); !ok || !strings.Contains(section+"\n", "\n"+want+"\n") {
		t.Errorf("README, section arm64: this is not its table:\n%s", want)
	}
}

func TestRead(t *testing.T) {
	for _, tt := range []struct{ name, text, err string }{
		{name: "complete", text: "# c\nboot max\npackage a\nleft TestX slow\n x86-64 TestY/sub%1 why not\npackage a/b ^TestZ\nhost c pure\n"},
		{name: "no boot", text: "package a", err: `line 1: "package a": no boot`},
		{name: "no package", text: "boot max\nleft TestX slow", err: `line 2: "left TestX slow": no package`},
		{name: "no reason", text: "boot max\npackage a\n\nleft TestX", err: `line 4: "left TestX": no reason`},
		{name: "nothing", text: "boot", err: `line 1: "boot": nothing follows`},
		{name: "two CPUs", text: "boot a b", err: `line 1: "boot a b": one CPU is wanted`},
		{name: "unknown", text: "skip a b", err: `line 1: "skip a b" is not understood`},
		{name: "subtest", text: "boot max\npackage a TestA/b", err: `line 2: "package a TestA/b": functions only; subtests are left out by name`},
		{name: "pattern", text: "boot max\npackage a (", err: "line 2: \"package a (\": error parsing regexp: missing closing ): `(`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Read(strings.NewReader(tt.text))
			if msg := errorText(err); msg != tt.err || (s == nil) == (err == nil) {
				t.Fatalf("%v, %q, want %q", s, msg, tt.err)
			}
			if tt.err != "" {
				return
			}
			if got, want := s.Skip("a", false), `^TestX$|^TestY$/^sub%1$`; got != want {
				t.Errorf("skips %s, want %s", got, want)
			}
			if got, want := s.Skip("a", true), `^TestY$/^sub%1$`; got != want {
				t.Errorf("of x86-64, skips %s, want %s", got, want)
			}
			if !s.Runs("max", "a", "TestQ") || !s.Runs("max", "a/b", "TestZone") || s.Runs("max", "a/b", "TestA") || s.Runs("other", "a", "TestQ") {
				t.Error("the wrong tests are run")
			}
			if got, want := s.Table(), "| package | test | why |\n|---|---|---|\n| `a` | `TestY/sub%1` | why not |\n"; got != want {
				t.Errorf("table %s, want %s", got, want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
