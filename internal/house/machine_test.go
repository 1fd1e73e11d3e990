package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hotpatch/internal/victim"
)

// machineName matches the identifiers by which debug/elf names a machine or one of its relocations.
var machineName = regexp.MustCompile(`^(EM|R)_(X86_64|AARCH64)`)

// knowsMachines lists the files and directories outside of arch that may ask which machine it is, and why.
var knowsMachines = map[string]string{
	"internal/emulate":         "runs what arm64 has, with its dynamic relocations",
	"internal/mutate":          "an oracle: what it knows must not come from what it checks",
	"internal/references":      "an oracle",
	"internal/toolchains":      "chooses compilers and their options by machine",
	"internal/truth":           "an oracle",
	"internal/victim":          "chooses compilers by machine",
	"ptrace/borrow_amd64.go":   "registers of the host's kernel interface",
	"ptrace/borrow_arm64.go":   "registers of the host's kernel interface",
	"elfdiff/image/symbols.go": "mapping symbols ($x, $d), which only the ELF ABI of the machine has",
}

// Portable code asks the arch.Arch value: it compares no machine and no type of relocation, and imports no package of an instruction set.
func TestPortable(t *testing.T) {
	root, used := victim.Root(t), map[string]bool{}
	goFiles(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") || within(path, "arch") || within(path, "testdata") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, imp := range f.Imports {
			if p := strings.Trim(imp.Path.Value, `"`); p == module+"/arch/x86" || p == module+"/arch/arm64" {
				found = append(found, p)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && machineName.MatchString(id.Name) {
				found = append(found, id.Name)
			}
			return true
		})
		if len(found) == 0 {
			return
		}
		for p := range knowsMachines {
			if within(path, p) {
				used[p] = true
				return
			}
		}
		slices.Sort(found)
		t.Errorf("%s: %s: what depends on the machine belongs into arch, behind arch.Arch", path, strings.Join(slices.Compact(found), ", "))
	})
	for p, why := range knowsMachines {
		if !used[p] {
			t.Errorf("%s (%s) is listed, and knows no machine", p, why)
		}
	}
}
