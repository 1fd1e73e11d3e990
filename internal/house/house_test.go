package house

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

const module = "hotpatch"

// pkg is what "go list -json" says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// list returns the packages of the module, without their tests.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = victim.Root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	all := make(map[string]pkg)
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			all[strings.TrimPrefix(p.ImportPath, module+"/")] = p
		}
	}
	if len(all) == 0 {
		t.Fatal("go list found no package of the module")
	}
	return all
}

// within reports whether a package is dir or lies below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/")
}

// live are the packages that may touch a process; the command line looks at
// /proc and at the terminal.
func live(name string) bool {
	switch {
	case name == "ptrace", within(name, "ptrace/inject"), within(name, "cmd"), within(name, "scripts"):
		return true
	}
	return false
}

// Pure packages build and test on any host: they never come to ptrace or to system calls.
func TestPurePackages(t *testing.T) {
	for name, p := range list(t) {
		if live(name) || name == "internal/victim" || name == "internal/trial" {
			continue
		}
		for _, dep := range p.Deps {
			if dep == module+"/ptrace" || dep == "golang.org/x/sys/unix" {
				t.Errorf("%s is pure and depends on %s", name, dep)
			}
		}
	}
}

// layers are the packages of the product from the top down. A package imports only packages of
// a lower layer, or, in a layer that says so, of its own.
var layers = []struct {
	dirs []string
	own  bool // packages of this layer may import each other
}{
	{dirs: []string{"cmd"}, own: true},
	{dirs: []string{"elfdiff", "ptrace/inject"}},
	{dirs: []string{"elfdiff/image", "elfdiff/types"}, own: true},
	{dirs: []string{"trampoline", "ptrace", "elfdiff/patch", "ptrace/unwind"}, own: true},
	{dirs: []string{"arch"}, own: true},
}

// layer returns the index in layers of the longest directory that holds the package, or -1.
func layer(name string) int {
	best, longest := -1, 0
	for i, l := range layers {
		for _, dir := range l.dirs {
			if within(name, dir) && len(dir) > longest {
				best, longest = i, len(dir)
			}
		}
	}
	return best
}

// Imports point one way.
func TestImportDirection(t *testing.T) {
	all := list(t)
	for name, p := range all {
		from := layer(name)
		if from < 0 {
			if !within(name, "internal") && !within(name, "scripts") && !within(name, "e2e") {
				t.Errorf("%s belongs to no layer", name)
			}
			continue
		}
		for _, imp := range p.Imports {
			dep, ok := strings.CutPrefix(imp, module+"/")
			if !ok {
				continue
			}
			to := layer(dep)
			if to < 0 || to < from || to == from && !layers[from].own {
				t.Errorf("%s imports %s: imports point from cmd to arch", name, dep)
			}
		}
	}
	diff, inject := all["elfdiff"], all["ptrace/inject"]
	if slices.Contains(diff.Deps, module+"/ptrace") || slices.Contains(inject.Deps, module+"/elfdiff") {
		t.Error("elfdiff and ptrace/inject must not know each other: the patch is all that they share")
	}
}

// The dependencies are those that were chosen, each for its reason.
func TestDependencies(t *testing.T) {
	allowed := map[string]string{
		"golang.org/x/arch":                    "disassembly as text",
		"golang.org/x/sys":                     "raw system calls",
		"github.com/ianlancetaylor/demangle":   "names for people",
		"github.com/spf13/cobra":               "verbs, help, completion",
		"github.com/spf13/pflag":               "of cobra",
		"github.com/inconshreveable/mousetrap": "of cobra",
		"github.com/ulikunitz/xz":              "LZMA2: .gnu_debugdata is compressed with it",
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./...")
	cmd.Dir = victim.Root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	for _, m := range slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out))))) {
		if allowed[m] == "" {
			t.Errorf("module %s is linked in and not among the allowed dependencies", m)
		}
	}
}

// goFiles calls f for every Go file, with its path from the root.
func goFiles(t *testing.T, f func(path string)) {
	t.Helper()
	root := victim.Root(t)
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			n++
			f(rel)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("%d Go files: %v", n, err)
	}
}

// An architecture is a value. The file suffixes _amd64 and _arm64 are build tags, and stand only
// where the host's own ptrace interface is spoken.
func TestArchitectureSuffix(t *testing.T) {
	goFiles(t, func(path string) {
		base := strings.TrimSuffix(strings.TrimSuffix(path, ".go"), "_test")
		for _, suffix := range []string{"_amd64", "_arm64"} {
			if strings.HasSuffix(base, suffix) && filepath.Dir(path) != "ptrace" {
				t.Errorf("%s: the suffix %s is a build tag, and belongs to ptrace only", path, suffix)
			}
		}
	})
}

// unsafe is imported only in files that say so in their names.
func TestUnsafe(t *testing.T) {
	root := victim.Root(t)
	goFiles(t, func(path string) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		for _, imp := range f.Imports {
			if imp.Path.Value == `"unsafe"` && !strings.Contains(filepath.Base(path), "_unsafe") {
				t.Errorf("%s imports unsafe: move that part to a file *_unsafe.go", path)
			}
		}
	})
}

// Files stay short enough to be read in one go.
func TestFileLength(t *testing.T) {
	const limit = 500 // lines
	root := victim.Root(t)
	goFiles(t, func(path string) {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
			return
		}
		if n := strings.Count(string(b), "\n"); n > limit {
			t.Errorf("%s has %d lines, more than %d", path, n, limit)
		}
	})
}

// main only hands over: everything else can be tested.
func TestMainLength(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(victim.Root(t), "cmd", "hotpatch", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n > 20 {
		t.Errorf("cmd/hotpatch/main.go has %d lines, more than 20", n)
	}
}
